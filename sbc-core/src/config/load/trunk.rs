//! Trunks: defaults of the preset, and what the operator wrote over them.

use super::media::{media, media_ranges};
use super::progress::methods;
use super::registrar::is_reached_by_binding;
use super::{Load, chosen, is_header_text, titled};
use crate::config::finding::Code;
use crate::config::header::{is_configurable, may_be_stripped};
use crate::config::name::is_proper_pattern;
use crate::config::preset::{self, Defaults};
use crate::config::source::{At, Span};
use crate::config::value;
use crate::config::written::{
    File, Mode, PinnedTarget, WrittenOptions, WrittenPreset, WrittenSessionTimer, WrittenTrunk,
};
use crate::config::{
    AllDown, Config, IpNet, Listener, Lookup, OnRemove, OptionsProbe, Preset, Realm, Redirect,
    SessionIdForm, SessionTimer, SipTimers, TargetAddress, TlsContext, Trunk, TrunkLimits,
    TrunkMedia, UdpOversize, UriForm, VerifyClient,
};
use crate::id::{ListenerName, TenantName, TlsContextName, TrunkName};
use crate::locate::FamilyOrder;
use crate::media::{Dtmf, SourceMode};
use crate::sip::HeaderName;
use crate::transport::Protocol;
use media_api::Family;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

impl Load<'_> {
    pub(super) fn build_trunks(&mut self, file: &File, previous: Option<&Config>) {
        // All names first: others may name a trunk that turns out to be broken, and derived trunks one
        // that is written later.
        let declared = file.trunks.iter().map(|written| {
            let is_new = self.trunks.declare(&written.name, &mut self.out);
            (written, is_new)
        });
        let (derived, others): (Vec<_>, Vec<_>) =
            declared.partition(|(written, _)| written.inherits.is_some());
        for (written, is_new) in others.into_iter().chain(derived) {
            // A reload keeps what works.
            let may_lack = previous.is_none_or(|before| {
                let before = before.trunks.get(&TrunkName::new(&written.name.value));
                before.is_some_and(|before| before.is_out_of_service)
            });
            let (trunk, lacks_secret) = self.lacking(may_lack, |load| load.trunk(written));
            if let (Some(mut trunk), true) = (trunk, is_new) {
                if lacks_secret {
                    trunk.take_out_of_service();
                }
                self.trunks.valid.insert(
                    trunk.name.clone(),
                    (Arc::new(trunk), written.name.span.clone()),
                );
            }
        }
    }

    fn trunk(&mut self, written: &WrittenTrunk) -> Option<Trunk> {
        let name = TrunkName::new(&written.name.value);
        let title = titled("trunk", name.as_str());
        let carrier = self.carrier(&title, written);
        let begun = self.preset(&title, written);
        let cloud = self.cloud(&title, written, begun);
        let (preset, defaults) = (begun.preset(), begun.defaults(cloud.unwrap_or_default()));
        let tenant = self.tenant_of(&title, written);
        let realm = written.realm.as_ref().and_then(|name| {
            let found = self.realms.find(name, &title, &mut self.out);
            found.map(|(realm, _)| Arc::clone(realm))
        });
        let targets = self.targets(&title, written, &defaults);
        let test_names = self.test_names(&title, written, begun, cloud);
        let fqdn = self.fqdn(&title, written, preset);
        let tls = self.tls_of(&title, written, &targets, realm.as_deref());
        let accept_names = self.accept_names(&title, written, &targets, tls.as_deref());
        let accept_from = self.accept_from(&title, written, &targets, &defaults, tls.as_deref());
        let timers = self.timers(&title, written, &defaults);
        let options = self.options(&title, written, &defaults, preset);
        let session_timer = self.session_timer(&title, written, defaults.session_timer);
        let dialog_ping = self.dialog_ping(&title, written, session_timer.is_some());
        let reroute_on = self.reroute_on(&title, written, &defaults, preset);
        let pass_headers = self.headers(&title, "pass", &written.pass_headers);
        let strip_headers = self.headers(&title, "strip", &written.strip_headers);
        let set_headers = self.set_headers(&title, written, &defaults);
        let codecs = written.codecs.as_ref();
        let codecs = codecs.map(|list| self.codecs(&title, &list.value));
        let suites = written.srtp_suites.as_ref();
        let suites = suites.map(|list| self.suites(&title, &list.value));
        let digest = written
            .digest
            .as_ref()
            .and_then(|digest| self.account(&title, digest));
        let register = written
            .register
            .as_ref()
            .and_then(|register| self.registration(&title, register, preset));
        let authenticate = written
            .authenticate
            .as_ref()
            .and_then(|table| self.authentication(&title, table, preset));
        let registrar = written
            .registrar
            .as_ref()
            .and_then(|table| self.registrar(&title, written, table, preset));
        let usual = (defaults.number_form, defaults.anonymous_from);
        let identity = self.identity(&title, &written.identity, usual);
        let is_trusted = chosen(&written.trusted, defaults.trusted);
        let progress = self.progress(&title, &written.progress, preset, is_trusted);
        if preset == Preset::Teams {
            let tls = tls.as_deref();
            let unchecked = tls.filter(|tls| !Self::is_checked(carrier.as_ref(), tls));
            let is_microsoft = begun == WrittenPreset::Teams;
            self.teams_rules(&title, written, &targets, unchecked, is_microsoft);
            self.suites_for_teams(&title, written, suites.as_deref());
        }
        if let Some(carrier) = &carrier {
            self.below_carrier(&title, written, carrier);
        }
        if let (Some(fqdn), Some(tls), Some(at)) = (&fqdn, &tls, &written.fqdn) {
            self.fqdn_in_certificate(&title, fqdn, &at.span, tls);
        }
        let realm = realm?;
        let family = self.family(&title, written, &realm)?;
        let mut profile = (defaults.media)(realm.id, family);
        profile.local = realm.of(family);
        profile.own = Arc::new(self.own_places(&accept_from, &targets));
        profile.ranges = media_ranges(&accept_from, &targets);
        if written.registrar.is_some() {
            // Phones and their like are behind NATs more often than not.
            profile.source = SourceMode::Restricted;
        }
        media(&mut profile, written, codecs, suites);
        self.learning(&title, written);
        self.codec_choice(&title, written, &profile);
        self.transcoding(&title, written, &mut profile);
        self.bypass(&title, written, preset, &realm, &mut profile);
        let sounds = self.sounds(&title, &written.sounds, &defaults, &mut profile);
        self.protection(&title, written, &profile, &targets);
        let dtmf = profile.dtmf;
        if let (Some(_), Some(span)) = (&written.digest, written.habits.relays_auth()) {
            self.out.add(
                Code::Contradiction,
                span,
                format!("{title}: its challenges are answered with our account"),
                Some("remove relay_auth, or digest".to_owned()),
            );
        }
        self.relayed_realms(&title, written);
        if let (Some(_), Some(refused)) = (
            written.habits.speaks_isup(),
            written.crossing.refuses_info(),
        ) {
            self.out.add(
                Code::Contradiction,
                &refused.span,
                format!("{title}: its ISUP comes and goes in INFO as well, which is refused"),
                Some("remove info, or isup".to_owned()),
            );
        }
        if let (Dtmf::Info, Some(refused)) = (dtmf, written.crossing.refuses_info()) {
            self.out.add(
                Code::Contradiction,
                &refused.span,
                format!("{title}: its digits come and go in INFO, which is refused"),
                Some("remove info, or write dtmf = \"rfc4733\"".to_owned()),
            );
        }
        let local_media = self.local_media(
            &title,
            written.local_media.as_ref(),
            (&realm, &profile),
            fqdn.as_deref(),
            tls.as_deref(),
        );
        let listeners = self.listeners_of(&title, &realm, &targets, tls.as_deref());
        let (tenant, listeners) = (tenant?, listeners?);
        if let (Some(cloud), Some(at)) = (cloud, &written.cloud) {
            self.port_of_cloud(&title, cloud, &at.span, &listeners);
        }
        let habits = written.habits.habits(&title, preset, &mut self.out);
        if let Some(span) = written.habits.tells_cause().filter(|_| !is_trusted) {
            self.out.add(
                Code::Contradiction,
                span,
                format!("{title}: our causes are for peers that are trusted"),
                Some("remove cause_header, or write trusted = true".to_owned()),
            );
        }
        let limits = TrunkLimits {
            both: written.limits.both.checked(&title, &mut self.out),
            inbound: written.limits.inbound.checked(&title, &mut self.out),
            outbound: written.limits.outbound.checked(&title, &mut self.out),
        };
        let history = chosen(&written.identity.history, defaults.history);
        let transfers = self.transfers(&title, &written.transfers, preset, history);
        self.bypass_transfers(&title, written, &transfers);
        Some(Trunk {
            name,
            tenant,
            preset,
            cloud,
            carrier: carrier.map(|carrier| carrier.name.clone()),
            realm: realm.name.clone(),
            listeners,
            tls: tls.map(|tls| tls.name.clone()),
            fqdn,
            targets: targets.into_iter().map(|at| at.value).collect(),
            test_names,
            accept_from,
            accept_names,
            trusted: written
                .trusted
                .as_ref()
                .map_or(defaults.trusted, |at| at.value),
            uri: UriForm {
                user_phone: chosen(&written.identity.user_phone, defaults.uri.user_phone),
                transport_param: chosen(
                    &written.identity.transport_param,
                    defaults.uri.transport_param,
                ),
            },
            media: TrunkMedia {
                profile: Arc::new(profile),
            },
            local_media,
            timers,
            limits,
            prefer: chosen(&written.prefer, FamilyOrder::default()),
            all_down: chosen(&written.all_down, AllDown::default()),
            on_remove: chosen(&written.on_remove, OnRemove::default()),
            udp_oversize: chosen(&written.udp_oversize, UdpOversize::default()),
            reroute_on,
            options,
            session_timer,
            dialog_ping,
            allow: written.crossing.allowed(
                methods(transfers.refer.allowed(defaults.allow), &progress),
                dtmf,
                habits.isup,
            ),
            progress,
            sounds,
            send_asserted: written
                .identity
                .egress
                .as_ref()
                .map_or(defaults.send_asserted, |at| at.value.is_some()),
            history,
            digest,
            register,
            authenticate,
            registrar,
            session_id: chosen(&written.session_id, SessionIdForm::default()),
            uui_max: written.uui_max.as_ref().map_or(256, |at| at.value as u16),
            send_location: chosen(&written.send_location, true),
            identity,
            least_hops: written.least_hops.as_ref().map_or(0, |at| at.value as u8),
            redirect: chosen(&written.redirect, Redirect::default()),
            redirect_to: written.redirect_to.as_ref().map_or_else(Vec::new, |list| {
                self.beginnings(&title, "redirect_to", &list.value)
            }),
            habits,
            derived: Default::default(),
            overlap: written.crossing.overlaps(),
            relays_offers: written.crossing.relays_offers(),
            transfers,
            stir: self.stir(&title, &written.stir, preset),
            pass_headers,
            strip_headers,
            set_headers,
            is_out_of_service: false,
        })
    }

    fn preset(&mut self, title: &str, written: &WrittenTrunk) -> WrittenPreset {
        if let (Some(preset), Some(mode)) = (&written.preset, &written.mode)
            && preset.value.preset() != mode.value.preset().preset()
        {
            self.out.add(
                Code::Contradiction,
                &mode.span,
                format!("{title}: this mode does not fit the preset"),
                Some(
                    "presets \"teams\" and \"sba\" have mode \"core\", preset \"carrier\" mode \"static\" or \
                     \"register\""
                        .to_owned(),
                ),
            );
        }
        let registers = match (written.register.is_some(), written.registrar.is_some()) {
            (true, _) => Some(Mode::Register),
            (false, true) => Some(Mode::Registrar),
            (false, false) => None,
        };
        let asked = |mode: Mode| matches!(mode, Mode::Register | Mode::Registrar).then_some(mode);
        if let Some(mode) = &written.mode
            && asked(mode.value) != registers
        {
            let (cause, help) = match (registers, mode.value) {
                (Some(Mode::Registrar), _) => (
                    "its peer registers with us",
                    "write mode = \"registrar\", or remove the key",
                ),
                (Some(_), _) => (
                    "it registers",
                    "write mode = \"register\", or remove the key",
                ),
                (None, Mode::Registrar) => (
                    "\"registrar\" is missing",
                    "write registrar = { aor = \"sip:pbx1@sip.example.com\" }",
                ),
                (None, _) => (
                    "\"register\" is missing",
                    "write register = { aor = \"sip:+49301230@telco.example\" }",
                ),
            };
            self.out.add(
                Code::Contradiction,
                &mode.span,
                format!("{title}: this mode does not fit, {cause}"),
                Some(help.to_owned()),
            );
        }
        written
            .preset
            .as_ref()
            .map(|at| at.value)
            .or(written.mode.as_ref().map(|at| at.value.preset()))
            .unwrap_or(WrittenPreset::Carrier)
    }

    /// `Some(None)` is a shared trunk; `None` is a broken reference.
    fn tenant_of(&mut self, title: &str, written: &WrittenTrunk) -> Option<Option<TenantName>> {
        match &written.tenant {
            Some(name) if name.value == "*" => Some(None),
            Some(name) => {
                let found = self.tenants.find(name, title, &mut self.out);
                found.map(|(tenant, _)| Some(tenant.name.clone()))
            }
            None => {
                self.out.add(
                    Code::MissingKey,
                    &written.span,
                    format!("{title}: \"tenant\" is missing"),
                    Some("write the customer's name, or tenant = \"*\" for all".to_owned()),
                );
                None
            }
        }
    }

    fn targets(
        &mut self,
        title: &str,
        written: &WrittenTrunk,
        defaults: &Defaults,
    ) -> Vec<At<TargetAddress>> {
        let Some(list) = &written.targets else {
            let is_derived = written.inherits.is_some();
            if defaults.targets.is_empty() && !is_derived && !is_reached_by_binding(written) {
                self.out.add(
                    Code::MissingKey,
                    &written.span,
                    format!("{title}: \"targets\" is missing"),
                    Some("write targets = [\"sip.example.com:5060;udp\"]".to_owned()),
                );
            }
            return defaults
                .targets
                .iter()
                .map(|(host, port, protocol)| {
                    let target = TargetAddress {
                        host: (*host).to_owned(),
                        port: *port,
                        protocol: *protocol,
                        lookup: Lookup::Addresses,
                        connect_to: Vec::new(),
                    };
                    At::new(target, written.name.span.clone())
                })
                .collect();
        };
        let usual = match written.tls.is_some() || !defaults.targets.is_empty() {
            true => Protocol::Tls,
            false => Protocol::Udp,
        };
        let mut targets: Vec<At<TargetAddress>> = Vec::new();
        for at in &list.value {
            let target = resolved(&at.value, usual);
            if targets.iter().any(|have| have.value == target) {
                self.out.add(
                    Code::DuplicateName,
                    &at.span,
                    format!("{title}: the target {} is there twice", target.host),
                    Some("name each once".to_owned()),
                );
                continue;
            }
            let is_far = |address: &IpAddr| !address.is_loopback();
            let is_pinned_name = is_of_microsoft(&target.host)
                && target.connect_to.iter().any(|at| is_far(&at.ip()));
            // Only a service with names of its own has targets by default.
            let is_pinned_trunk = !defaults.targets.is_empty()
                && target.host.parse().is_ok_and(|address| is_far(&address));
            if is_pinned_name || is_pinned_trunk {
                self.out.add(
                    Code::PinnedAddress,
                    &at.span,
                    format!("{title}: addresses of {} are pinned", target.host),
                    Some(
                        "Microsoft moves them in maintenance; let the name be resolved".to_owned(),
                    ),
                );
            }
            targets.push(At::new(target, at.span.clone()));
        }
        targets
    }

    fn fqdn(&mut self, title: &str, written: &WrittenTrunk, preset: Preset) -> Option<String> {
        let at = written.fqdn.as_ref()?;
        let name = at.value.to_ascii_lowercase();
        let fault = if name.len() > 63 {
            Some(format!(
                "has {} characters, Microsoft allows 63",
                name.len()
            ))
        } else if !value::is_host_name(&name) || !name.contains('.') || name.contains('_') {
            Some("is no fully qualified name".to_owned())
        } else if preset == Preset::Teams && name.ends_with(".onmicrosoft.com") {
            Some("is a name that Microsoft refuses for an SBC".to_owned())
        } else {
            None
        };
        match fault {
            None => Some(name),
            Some(fault) => {
                self.out.add(
                    Code::BadFqdn,
                    &at.span,
                    format!("{title}: fqdn \"{}\" {fault}", at.value.escape_debug()),
                    Some(
                        "write the name that peers reach us by, such as \"sbc1.contoso.example\""
                            .to_owned(),
                    ),
                );
                None
            }
        }
    }

    /// The TLS identity: as written, else that of the realm's only kind of TLS listener.
    fn tls_of(
        &mut self,
        title: &str,
        written: &WrittenTrunk,
        targets: &[At<TargetAddress>],
        realm: Option<&Realm>,
    ) -> Option<Arc<TlsContext>> {
        let wants_tls = targets.iter().any(|at| at.value.protocol == Protocol::Tls);
        if let Some(name) = &written.tls {
            let found = self
                .tls
                .find(name, title, &mut self.out)
                .map(|(tls, _)| Arc::clone(tls));
            if !wants_tls && !targets.is_empty() {
                self.out.add(
                    Code::Contradiction,
                    &name.span,
                    format!("{title} has a TLS identity, but no target with TLS"),
                    Some("write targets = [\"host:5061;tls\"], or remove the key".to_owned()),
                );
            }
            return found;
        }
        if !wants_tls {
            return None;
        }
        let realm = realm?;
        let mut contexts: Vec<&TlsContextName> = self
            .listeners
            .valid
            .values()
            .filter(|(listener, _)| listener.realm == realm.name)
            .filter_map(|(listener, _)| listener.tls.as_ref())
            .collect();
        contexts.sort();
        contexts.dedup();
        match contexts.as_slice() {
            [only] => self.tls.valid.get(*only).map(|(tls, _)| Arc::clone(tls)),
            _ if self.lacks_listener => None,
            _ => {
                self.out.add(
                    Code::MissingKey,
                    &written.span,
                    format!("{title}: \"tls\" is missing, its targets use TLS"),
                    Some("write tls = \"…\" with the name of a [[tls]]".to_owned()),
                );
                None
            }
        }
    }

    fn accept_names(
        &mut self,
        title: &str,
        written: &WrittenTrunk,
        targets: &[At<TargetAddress>],
        tls: Option<&TlsContext>,
    ) -> Vec<String> {
        if let Some(list) = &written.accept_names {
            for at in &list.value {
                if !is_proper_pattern(&at.value) {
                    self.out.add(
                        Code::WildcardName,
                        &at.span,
                        format!(
                            "{title}: \"{}\" cannot be accepted as a peer's name",
                            at.value.escape_debug()
                        ),
                        Some(
                            "write a name, or \"*.\" and a domain of two labels or more".to_owned(),
                        ),
                    );
                }
            }
            return list
                .value
                .iter()
                .map(|at| at.value.to_ascii_lowercase())
                .collect();
        }
        let Some(tls) = tls else {
            return Vec::new();
        };
        let names: Vec<String> = targets
            .iter()
            .filter(|at| at.value.protocol == Protocol::Tls)
            .map(|at| at.value.host.clone())
            .filter(|host| host.parse::<IpAddr>().is_err())
            .collect();
        if names.is_empty() && tls.verify_client == VerifyClient::Require {
            self.out.add(
                Code::MissingKey,
                &written.span,
                format!("{title}: \"accept_names\" is missing, its targets have no names"),
                Some(
                    "write accept_names = [\"…\"] with a name of the peer's certificate".to_owned(),
                ),
            );
        }
        names
    }

    fn accept_from(
        &mut self,
        title: &str,
        written: &WrittenTrunk,
        targets: &[At<TargetAddress>],
        defaults: &Defaults,
        tls: Option<&TlsContext>,
    ) -> Vec<IpNet> {
        let proves_identity = tls.is_some_and(|tls| tls.verify_client == VerifyClient::Require);
        if let Some(list) = &written.accept_from {
            for at in &list.value {
                if at.value.admits_strangers() && !proves_identity && written.authenticate.is_none()
                {
                    self.out.add(
                        Code::OpenSource,
                        &at.span,
                        format!("{title}: the range admits strangers, who could call at your cost"),
                        Some(
                        "write the peer's own ranges, or demand its certificate or \"authenticate\""
                            .to_owned(),
                    ),
                    );
                }
            }
            return list.value.iter().map(|at| at.value).collect();
        }
        if !defaults.accept_from.is_empty() {
            return defaults.accept_from.clone();
        }
        let has_address = |target: &TargetAddress| {
            target.host.parse::<IpAddr>().is_ok() || !target.connect_to.is_empty()
        };
        if is_reached_by_binding(written) {
            // Anybody may try, who then has to prove who he is: the operator says so in so many words.
            self.no_source(title, &written.name.span);
        }
        // Of registrars the resolver says where they are.
        if written.register.is_none()
            && let Some(at) = targets.iter().find(|at| !has_address(&at.value))
        {
            self.no_source(title, &at.span);
        }
        Vec::new()
    }

    fn no_source(&mut self, title: &str, span: &Span) {
        self.out.add(
            Code::NoSource,
            span,
            format!("{title}: nothing says from which addresses its requests come"),
            Some("write accept_from = [\"192.0.2.0/28\"] with the peer's ranges".to_owned()),
        );
    }

    fn timers(&mut self, title: &str, written: &WrittenTrunk, defaults: &Defaults) -> SipTimers {
        let ms = Duration::from_millis;
        let usual = defaults.timers;
        let name = |key: &str| format!("{title}: timers: {key}");
        let mut timers = SipTimers {
            t1: self.bounded(&name("t1"), &written.t1, ms(50)..=ms(5_000), usual.t1),
            t2: self.bounded(&name("t2"), &written.t2, ms(500)..=ms(60_000), usual.t2),
            t4: self.bounded(&name("t4"), &written.t4, ms(500)..=ms(60_000), usual.t4),
            response_timeout: self.bounded(
                &name("response_timeout"),
                &written.response_timeout,
                ms(500)..=ms(32_000),
                usual.response_timeout,
            ),
            ring_timeout: self.bounded(
                &name("ring_timeout"),
                &written.ring_timeout,
                ms(5_000)..=ms(600_000),
                usual.ring_timeout,
            ),
            connect: usual.connect,
            handshake: usual.handshake,
        };
        for (key, written, used) in [
            ("connect", &written.connect, &mut timers.connect),
            ("handshake", &written.handshake, &mut timers.handshake),
        ] {
            if let Some(at) = written {
                let range = ms(500)..=ms(30_000);
                *used = Some(self.bounded(&name(key), written, range, at.value));
            }
        }
        if timers.t2 < timers.t1
            && let Some(at) = written.t2.as_ref().or(written.t1.as_ref())
        {
            self.out.add(
                Code::Contradiction,
                &at.span,
                format!("{title}: timers: t2 is shorter than t1"),
                Some("t2 is the longest pause between repetitions, t1 the first".to_owned()),
            );
        }
        timers
    }

    fn options(
        &mut self,
        title: &str,
        written: &WrittenTrunk,
        defaults: &Defaults,
        preset: Preset,
    ) -> Option<OptionsProbe> {
        let usual = defaults.options.clone().map(|usual| OptionsProbe {
            interval: written.habits.probe_pace(usual.interval),
            ..usual
        });
        let (interval, ok) = match &written.options {
            None => return usual,
            Some(WrittenOptions::Off(_)) => return None,
            Some(WrittenOptions::Probe { interval, ok }) => (interval, ok),
        };
        let usual = usual?;
        let seconds = match preset {
            Preset::Carrier => 5..=3_600,
            Preset::Teams => preset::teams::OPTIONS_SECONDS,
        };
        let range = Duration::from_secs(*seconds.start())..=Duration::from_secs(*seconds.end());
        Some(OptionsProbe {
            interval: self.bounded(
                &format!("{title}: options: interval"),
                interval,
                range,
                usual.interval,
            ),
            ok: match ok {
                Some(list) => Some(list.iter().map(|at| at.value as u16).collect()),
                None => usual.ok,
            },
        })
    }

    fn session_timer(
        &mut self,
        title: &str,
        written: &WrittenTrunk,
        usual: SessionTimer,
    ) -> Option<SessionTimer> {
        let (expires, min_se, refresher) = match &written.session_timer {
            // Calls of a bypass trunk have none; media shows whether they live (TDR-ICE-014).
            None if written.media_bypass.as_ref().is_some_and(|at| at.value) => return None,
            None => return Some(usual),
            Some(WrittenSessionTimer::Off) => return None,
            Some(WrittenSessionTimer::Of {
                expires,
                min_se,
                refresher,
            }) => (expires, min_se, refresher),
        };
        // Less would mean more signalling than calls (RFC 4028 §4).
        let shortest = Duration::from_secs(90);
        let expires = self.bounded(
            &format!("{title}: session_timer: expires"),
            expires,
            shortest..=Duration::from_secs(86_400),
            Duration::from_secs(u64::from(usual.expires_s)),
        );
        let least = self.bounded(
            &format!("{title}: session_timer: min_se"),
            min_se,
            shortest..=expires,
            // Of Teams, what it announces itself (TDR-TMR-004).
            expires.min(Duration::from_secs(u64::from(usual.min_se_s))),
        );
        Some(SessionTimer {
            // Both are bounded above.
            expires_s: expires.as_secs() as u32,
            min_se_s: least.as_secs() as u32,
            refresher: chosen(refresher, usual.refresher),
        })
    }

    fn reroute_on(
        &mut self,
        title: &str,
        written: &WrittenTrunk,
        defaults: &Defaults,
        preset: Preset,
    ) -> Vec<u16> {
        let Some(list) = &written.reroute_on else {
            return defaults.reroute_on.clone();
        };
        // Below 128 they are causes of Q.850, from 300 on statuses.
        for at in list.iter().filter(|at| (128..300).contains(&at.value)) {
            self.out.add(
                Code::OutOfRange,
                &at.span,
                format!(
                    "{title}: {} is neither a failure nor a Q.850 cause",
                    at.value
                ),
                Some("write statuses from 300 to 599, causes from 1 to 127".to_owned()),
            );
        }
        for at in list.iter().filter(|at| at.value >= 600) {
            self.out.add(
                Code::OutOfRange,
                &at.span,
                format!("{title}: {} is the last word of the called party", at.value),
                Some("a 6xx is never tried elsewhere; remove it".to_owned()),
            );
        }
        let is_final = |value: u64| matches!(value, 1..128 | 400..=407 | 409..500);
        let of_teams = list.iter().filter(|_| preset == Preset::Teams);
        for at in of_teams.filter(|at| is_final(at.value)) {
            self.out.add(
                Code::TeamsRule,
                &at.span,
                format!("{title}: {} of Teams is about the call, not about the trunk", at.value),
                Some("list 408 and statuses from 500 to 599 alone: another data centre says the same (TDR-DNS-004)".to_owned()),
            );
        }
        list.iter().map(|at| at.value as u16).collect()
    }

    fn headers(&mut self, title: &str, key: &str, written: &[At<String>]) -> Vec<String> {
        written
            .iter()
            .filter(|at| self.may_configure(title, key, at))
            .map(|at| at.value.clone())
            .collect()
    }

    fn set_headers(
        &mut self,
        title: &str,
        written: &WrittenTrunk,
        defaults: &Defaults,
    ) -> Vec<(String, String)> {
        let mut headers: Vec<(String, String)> = Vec::new();
        for (name, value) in &written.set_headers {
            if !self.may_configure(title, "set", name) {
                continue;
            }
            if value.value.is_empty() || !is_header_text(&value.value, 256) {
                self.out.add(
                    Code::BadForm,
                    &value.span,
                    format!(
                        "{title}: headers: the value of {} cannot be sent",
                        name.value
                    ),
                    Some("write 1 to 256 printable ASCII characters".to_owned()),
                );
                continue;
            }
            headers.push((name.value.clone(), value.value.clone()));
        }
        for (name, value) in &defaults.set_headers {
            if !headers
                .iter()
                .any(|(own, _)| own.eq_ignore_ascii_case(name))
            {
                headers.push((name.clone(), value.clone()));
            }
        }
        headers
    }

    fn may_configure(&mut self, title: &str, key: &str, name: &At<String>) -> bool {
        let fault = match HeaderName::parse(name.value.clone()) {
            Err(_) => "is no name of a header",
            Ok(header) if key == "strip" && may_be_stripped(&header) => return true,
            Ok(header) if !is_configurable(&header) => "belongs to us or to the call",
            Ok(_) => return true,
        };
        self.out.add(
            Code::HeaderNotAllowed,
            &name.span,
            format!("{title}: headers: {key}: \"{}\" {fault}", name.value.escape_debug()),
            Some("only headers that neither route, identify nor authenticate may be listed, each by its exact name".to_owned()),
        );
        false
    }

    fn family(&mut self, title: &str, written: &WrittenTrunk, realm: &Realm) -> Option<Family> {
        let has = |family: Family| match family {
            Family::V4 => realm.v4.is_some(),
            Family::V6 => realm.v6.is_some(),
        };
        match &written.family {
            None if has(Family::V4) => Some(Family::V4),
            None => Some(Family::V6),
            Some(at) if has(at.value) => Some(at.value),
            Some(at) => {
                self.out.add(
                    Code::Contradiction,
                    &at.span,
                    format!(
                        "{title}: realm \"{}\" has no address of this family",
                        realm.name
                    ),
                    Some("give the realm such an address, or remove the key".to_owned()),
                );
                None
            }
        }
    }

    /// Listeners of the trunk: those on which its requests may arrive, and which reach its targets.
    fn listeners_of(
        &mut self,
        title: &str,
        realm: &Realm,
        targets: &[At<TargetAddress>],
        tls: Option<&TlsContext>,
    ) -> Option<Vec<ListenerName>> {
        let is_tls_trunk = tls.is_some();
        let mut usable: Vec<Arc<Listener>> = self
            .listeners
            .valid
            .values()
            .map(|(listener, _)| Arc::clone(listener))
            .filter(|listener| {
                listener.realm == realm.name && (listener.protocol == Protocol::Tls) == is_tls_trunk
            })
            .collect();
        // Two trunks of a realm may have a name and a port each (TDR-SIP-043): where a listener shows the
        // trunk's own identity, those of other identities are not its.
        if let Some(tls) = tls {
            let is_own = |listener: &Listener| listener.tls.as_ref() == Some(&tls.name);
            let own: Vec<bool> = [true, false]
                .map(|is_v4| {
                    let mut all = usable.iter();
                    all.any(|one| is_own(one) && one.bind.is_ipv4() == is_v4)
                })
                .to_vec();
            usable.retain(|one| is_own(one) || !own[usize::from(!one.bind.is_ipv4())]);
        }
        let mut is_reachable = true;
        for at in targets {
            let target = &at.value;
            let literal = target.host.parse::<IpAddr>().ok();
            let addresses: Vec<IpAddr> = match target.connect_to.is_empty() {
                false => target.connect_to.iter().map(SocketAddr::ip).collect(),
                true => literal.into_iter().collect(),
            };
            let reaches = |listener: &Arc<Listener>| {
                listener.protocol == target.protocol
                    && (addresses.is_empty()
                        || addresses
                            .iter()
                            .any(|ip| ip.is_ipv4() == listener.bind.is_ipv4()))
            };
            if !usable.iter().any(reaches) {
                is_reachable = false;
                if self.lacks_listener {
                    continue;
                }
                self.out.add(
                    Code::NoListener,
                    &at.span,
                    format!(
                        "{title}: realm \"{}\" has no listener that reaches {} over {}",
                        realm.name, target.host, target.protocol
                    ),
                    Some(format!(
                        "add [[listen]] with realm = \"{}\" and transport = \"{}\" in the target's family",
                        realm.name, target.protocol
                    )),
                );
            }
        }
        let first = targets.first().map(|at| at.value.protocol);
        let mut listeners = usable;
        // The protocol of the first target first; a stable order otherwise.
        listeners.sort_by_key(|listener| {
            (
                Some(listener.protocol) != first,
                listener.bind.is_ipv6(),
                listener.name.clone(),
            )
        });
        is_reachable.then(|| {
            listeners
                .iter()
                .map(|listener| listener.name.clone())
                .collect()
        })
    }
}

/// Whether a name is one of Teams, in any cloud.
pub(super) fn is_of_microsoft(host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    host.ends_with("pstnhub.microsoft.com") || host.ends_with(".teams.microsoft.us")
}

pub(super) fn resolved(pinned: &PinnedTarget, usual: Protocol) -> TargetAddress {
    let target = &pinned.target;
    let protocol = target.protocol.unwrap_or(usual);
    let lookup = match (target.port, target.protocol) {
        (Some(_), _) => Lookup::Addresses,
        (None, _) if target.host.parse::<IpAddr>().is_ok() => Lookup::Addresses,
        (None, _) if !pinned.connect_to.is_empty() => Lookup::Addresses,
        (None, Some(_)) => Lookup::Servers,
        (None, None) => Lookup::Domain,
    };
    TargetAddress {
        host: target.host.clone(),
        port: target.port.unwrap_or(protocol.default_port()),
        protocol,
        lookup,
        connect_to: pinned.connect_to.clone(),
    }
}
