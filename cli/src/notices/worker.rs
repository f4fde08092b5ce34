//! What becomes of the notices of one tenant, one after the other: whether Microsoft has sent them, what is sealed in
//! them, and who is told (TDG-PRS-003, TDG-PRS-004).

use super::origin::Origin;
use super::{Happens, Job, Notices};
use causeway_notice::{Notice, Presence as Opened, Sealed, What};
use sbc_core::config::{GraphAccess, UserId};
use sbc_core::id::TenantName;
use sbc_core::policy::presence::Presence;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// How often a forged notice is worth a line of the log, at most.
const TOLD: Duration = Duration::from_secs(600);

/// Works for one tenant.
pub(super) struct Worker {
    pub(super) notices: Arc<Notices>,
    pub(super) tenant: TenantName,
    pub(super) access: GraphAccess,
    /// Tells the keeper.
    pub(super) happen: mpsc::Sender<Happens>,
}

impl Worker {
    pub(super) async fn run(self, mut jobs: mpsc::UnboundedReceiver<Job>) {
        // Its keeper has said why, and there is no subscription then.
        let Ok(reach) = self.notices.reach(&self.access) else {
            return;
        };
        let mut origin = Origin::new(&self.access);
        let mut told: Option<Instant> = None;
        while let Some(job) = jobs.recv().await {
            let mut is_proven = None;
            for notice in &job.notices {
                let sealed = matches!(notice.what, What::Sealed(_));
                if sealed && is_proven.is_none() {
                    is_proven = Some(origin.proves(&job.tokens, &reach).await);
                }
                let result = match &is_proven {
                    Some(Err(_)) if sealed => Err("token"),
                    _ => self.one(notice),
                };
                let (Ok(result) | Err(result)) = result;
                self.notices.came(result);
                let is_due = told.is_none_or(|at| at.elapsed() >= TOLD);
                if matches!(result, "token" | "seal" | "content") && is_due {
                    told = Some(Instant::now());
                    let why = is_proven.as_ref().and_then(|own| own.as_ref().err());
                    self.warn(
                        result,
                        why.map_or("it was not sealed for us", String::as_str),
                    );
                }
            }
        }
    }

    /// What one says is done. Gives what became of it; nobody is told what was in it.
    fn one(&self, notice: &Notice) -> Result<&'static str, &'static str> {
        if !notice.tenant.is_empty() && notice.tenant != self.access.tenant_id {
            return Err("unknown");
        }
        match &notice.what {
            What::Event(event) => {
                let happens = Happens {
                    id: notice.subscription.clone(),
                    event: *event,
                };
                if self.happen.try_send(happens).is_err() {
                    // Whatever it was: how everybody is is known again after this.
                    self.notices.presences.want(&self.tenant, &[]);
                }
                Ok("event")
            }
            What::Changed(user) => {
                let user = UserId::parse(user).ok_or("content")?;
                let users = self.notices.presences.users(&self.tenant);
                if !users.contains(&user) {
                    return Err("nobody");
                }
                self.notices.presences.want(&self.tenant, &[user]);
                Ok("asked_for")
            }
            What::Sealed(sealed) => self.open(sealed),
        }
    }

    fn open(&self, sealed: &Sealed) -> Result<&'static str, &'static str> {
        let key = self.notices.made_key().ok_or("seal")?;
        let content = key.open(sealed).map_err(|_| "seal")?;
        let opened = Opened::read(&content).ok_or("content")?;
        let user = UserId::parse(&opened.user).ok_or("content")?;
        let presence = Presence::new(&opened.availability, &opened.activity);
        match self.notices.presences.noticed(&self.tenant, user, presence) {
            true => Ok("taken"),
            false => Err("nobody"),
        }
    }

    fn warn(&self, result: &str, why: &str) {
        let text = "a notice that knows the secret of a subscription was not believed; presence is asked for as before";
        let log = &self.notices.log;
        let line = log
            .warn("notice_refused", text)
            .with("tenant", &self.tenant);
        line.with("result", result).with("why", why).send();
    }
}
