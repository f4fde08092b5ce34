//! REGISTER of a peer that has proven who it is.

use super::{Core, arrived, dropped};
use crate::config::Registrar;
use crate::effect::Effects;
use crate::event::{DropCode, Happened};
use crate::id::{ShardId, TransactionId};
use crate::plane::Cx;
use crate::session::LegStyle;
use crate::sip::header::OptionTag;
use crate::sip::{Capabilities, HeaderName, Message, Method, Objection, Status, Token};
use crate::time::Now;
use crate::transport::Flow;

impl Core {
    #[allow(
        clippy::too_many_arguments,
        reason = "facts of one arrival, used in one place"
    )]
    pub(super) fn registering(
        &mut self,
        now: Now,
        id: TransactionId,
        flow: &Flow,
        message: &Message,
        style: &LegStyle,
        own: &Registrar,
        out: &mut Effects,
    ) {
        arrived(None, None, flow, message, out);
        let capabilities = capabilities(style, own);
        if let Err(rejection) = capabilities.check(message) {
            let why = match rejection.why {
                Objection::MethodNotAllowed | Objection::UnknownMethod => {
                    DropCode::MethodNotAllowed
                }
                _ => DropCode::Malformed,
            };
            dropped(why, flow, out);
            self.told(
                style,
                flow,
                rejection.status,
                &rejection.why.to_string(),
                out,
            );
            return self.reject(now, id, message, style, &capabilities, &rejection, out);
        }
        if self.plane.shard != ShardId(0) {
            // The shell brings every REGISTER to the shard that keeps the bindings.
            return self.reply(now, id, message, style, Status::SERVER_INTERNAL_ERROR, out);
        }
        let mut cx = Cx {
            now,
            plane: &mut self.plane,
            out,
        };
        let done = self
            .upkeep
            .registrars
            .register(&mut cx, &style.trunk, own, flow, message);
        match done {
            Ok(lines) => {
                let date = now.wall.rfc1123();
                self.reply_with(now, id, message, style, Status::OK, out, |response| {
                    let response = response.raw_if_valid(HeaderName::Date, date);
                    lines.iter().fold(response, |response, (name, value)| {
                        response.raw_if_valid(name, value)
                    })
                });
            }
            Err(fault) => {
                self.told(style, flow, fault.status(), &fault.to_string(), out);
                self.reply_with(
                    now,
                    id,
                    message,
                    style,
                    fault.status(),
                    out,
                    |response| match fault.line() {
                        Some((name, value)) => response.raw_if_valid(name, value),
                        None => response,
                    },
                );
            }
        }
    }

    fn told(
        &self,
        style: &LegStyle,
        flow: &Flow,
        status: Status,
        because: &str,
        out: &mut Effects,
    ) {
        let what = Happened::RegisterRefused {
            trunk: style.trunk.name.clone(),
            remote: flow.remote,
            status,
            because: because.to_owned(),
        };
        out.emit(None, None, what);
    }
}

/// What a registrar is able to do.
fn capabilities(style: &LegStyle, own: &Registrar) -> Capabilities {
    let mut capabilities = style.capabilities().clone();
    capabilities.methods.push(Method::Register);
    let gin = own.gin.then_some("gin");
    let names = [OptionTag::PATH, OptionTag::OUTBOUND]
        .into_iter()
        .chain(gin);
    let tokens = names.filter_map(|name| Token::parse(name).ok());
    capabilities.extensions.extend(tokens.map(OptionTag::new));
    capabilities
}
