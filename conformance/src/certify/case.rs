//! What a case is, and how one is written.
//!
//! A case is an async function over a [`Stage`]: the subject between a carrier and three proxies,
//! all real sockets, all its own. It plays a ladder and says what must be seen:
//!
//! ```text
//! pub const CASES: &[Case] = &[
//!     case("TC-INB-003", |stage| Box::pin(given_up(stage)), &[
//!         // Without its CANCEL the subject is broken, and exactly this rule must say so.
//!         breaks("TDR-SIP-016", drop(teams("CANCEL"))),
//!     ]), // in group/inbound.rs
//! ];
//!
//! /// TC-INB-003.
//! async fn given_up(stage: &Stage) -> Played {
//!     let mut caller = stage.carrier_dials().await?;        // the carrier calls
//!     let mut called = stage.teams_is_called().await?;      // Teams has the INVITE
//!     called.leg.respond(180, "Ringing", None, &[])?;
//!     caller.leg.hears(180, PATIENCE).await?;
//!     caller.leg.cancel().await?;
//!     called.leg.cancelled(PATIENCE).await.rule("TDR-SIP-016")?; // else this rule is broken
//!     let last = caller.is_refused().await?;
//!     stage.check("TDR-SIP-016", last.status() == Some(487), || format!("got {}", last.title()));
//!     Ok(())
//! }
//! ```
//!
//! - The row in `catalogue.toml` has everything else: title, severity, mark, requirements, and in `differs` what the
//!   case wants otherwise than its catalogue, because a requirement says so.
//! - Common ladders are in `ladder.rs`: [`Stage::to_teams`] and [`Stage::from_teams`] give an
//!   answered call with audio both ways; `Talk::caller_ends` or `Talk::called_ends` ends it. Changes within
//!   it are in `change.rs`: `Talk::ends` gives both ends, `Stage::one_changes` has one offer and the other
//!   agree.
//! - `stage.check(rule, is_right, || what was found)` notes a broken rule and goes on;
//!   `result.rule("…")?` ends the case with that rule; a bare `?` ends it with the rule `ladder`.
//! - The global assertions G1 to G15 and the peers' own rules are asked after every case over
//!   everything that was sent; a case need not repeat them.
//! - A case that takes long has a short form, and its full size where the run is told to soak:
//!   `stage.size(…)` gives and notes it; `stage.note(…)` says what else a reader must know.
//! - A bound in time is asked of several tries ([`Times`](super::times::Times)): most must keep it, and the report says how
//!   many did not. What must come whole is counted ([`Whole`](super::whole::Whole)).
//! - A case that wants another configuration says so with [`Case::with`], by [words](super::word) where others than we
//!   can configure it, too; one that wants something
//!   that not every subject has, with [`Case::needs`].
//! - Every case lists at least one way to break the subject, with the rule that must then be broken.
//!   `causeway certify self-test` plays them all. A case that nothing can fail does not count.
//! - No waiting for luck: wait for a message, a packet or a state with a patience, and where nothing
//!   must happen, for a time that the requirement names.

use super::asked;
use super::mutation::Mutation;
use super::setting::Setting;
use super::stage::Stage;
use super::verdict::Failure;
use crate::lab::fault::LabFault;
use crate::peer::fault::PeerFault;
use std::panic::Location;
use std::pin::Pin;
use std::time::Duration;

/// What playing a case gives: a failure ends it.
pub type Played = Result<(), Failure>;
/// A case under way.
pub type Play<'s> = Pin<Box<dyn Future<Output = Played> + Send + 's>>;

/// A case that somebody wrote.
#[derive(Clone, Copy)]
pub struct Case {
    /// Its id in the catalogue.
    pub id: &'static str,
    /// Plays it.
    pub play: for<'s> fn(&'s Stage) -> Play<'s>,
    /// What the subject must have.
    pub needs: &'static [Need],
    /// How the subject is configured.
    pub setting: fn(&mut Setting),
    /// Ways to break the subject, each with the rule that must then be broken.
    pub broken_by: &'static [Break],
}

/// Something that not every subject has, or that we cannot use of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Need {
    /// We write its configuration and start it, for this reason.
    Ours(&'static str),
    /// We can end it and start it again.
    Restart,
    /// We can have its certificate renewed.
    Renewal,
    /// That is taken back, also where no certificate of its own is left.
    Restoration,
    /// Another machine of Teams, which no name leads to.
    Elsewhere,
    /// A place of somebody whom it does not know.
    Stranger,
    /// It trusts whoever has signed certificates that no proxy may show.
    Impostors,
    /// It trusts an authority whose key we have.
    Authority,
    /// It trusts seven authorities more whose keys we have.
    Anchors,
    /// It can be taken out of service gently.
    Maintenance,
    /// A customer can be added and removed while it runs.
    Customer,
    /// We can have it try what is configured wrongly.
    Tries,
    /// We can read what it tells its operators.
    Logs,
    /// It names a dialog that was transferred.
    Transfers,
    /// Media bypass with ICE.
    Bypass,
    /// Local media optimization.
    Optimization,
    /// Microsoft Graph and Entra.
    Graph,
    /// A node of it can be lost.
    Loss,
    /// A survivable branch.
    Branch,
    /// Configured as two customers on one node.
    Hosting,
    /// Gives numbers to callers for help.
    Elin,
    /// Reads and sets the presence of users, and routes by it.
    Presence,
    /// Lets operators sign in with Entra.
    SignIn,
}

impl Need {
    /// What a subject that somebody else configured may have, beside what it is configured as.
    pub const OF_OTHERS: [Self; 1] = [Self::Transfers];

    /// Whether it is a matter of configuration, which has words of its own.
    pub fn is_configured(self) -> bool {
        match self {
            Self::Bypass | Self::Optimization | Self::Branch | Self::Hosting | Self::Elin => true,
            Self::Ours(_)
            | Self::Authority
            | Self::Anchors
            | Self::Maintenance
            | Self::Customer
            | Self::Tries
            | Self::Logs
            | Self::Restart
            | Self::Renewal
            | Self::Restoration
            | Self::Elsewhere
            | Self::Stranger
            | Self::Impostors
            | Self::Transfers
            | Self::Graph
            | Self::Loss
            | Self::Presence
            | Self::SignIn => false,
        }
    }

    /// Its word in a subject's file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ours(_) => "ours",
            Self::Authority => "authority",
            Self::Anchors => "anchors",
            Self::Maintenance => "maintenance",
            Self::Customer => "customer",
            Self::Tries => "tries",
            Self::Logs => "logs",
            Self::Restart => "restart",
            Self::Renewal => "renewal",
            Self::Restoration => "restoration",
            Self::Elsewhere => "elsewhere",
            Self::Stranger => "stranger",
            Self::Impostors => "impostors",
            Self::Transfers => "transfers",
            Self::Bypass => "bypass",
            Self::Optimization => "optimization",
            Self::Graph => "graph",
            Self::Loss => "loss",
            Self::Branch => "branch",
            Self::Hosting => "hosting",
            Self::Elin => "elin",
            Self::Presence => "presence",
            Self::SignIn => "sign-in",
        }
    }
}

/// A way to break the subject.
#[derive(Clone, Copy)]
pub struct Break {
    /// The rule that must be broken then.
    pub rule: &'static str,
    /// What is changed.
    pub by: Mutation,
    /// Rules that may be broken with it, each with the reason; any other one makes the trial a bad one.
    pub also: &'static [(&'static str, &'static str)],
}

impl Break {
    /// The same change, from which it follows that these rules are broken, too: each with the reason.
    #[must_use]
    pub const fn also(self, also: &'static [(&'static str, &'static str)]) -> Self {
        Self { also, ..self }
    }
}

/// A case that any subject can be asked.
pub const fn case(
    id: &'static str,
    play: for<'s> fn(&'s Stage) -> Play<'s>,
    broken_by: &'static [Break],
) -> Case {
    Case {
        id,
        play,
        needs: &[],
        setting: |_| {},
        broken_by,
    }
}

/// A way to break the subject.
pub const fn breaks(rule: &'static str, by: Mutation) -> Break {
    Break {
        rule,
        by,
        also: &[],
    }
}

impl Case {
    /// The same for subjects that have these.
    #[must_use]
    pub const fn needs(self, needs: &'static [Need]) -> Self {
        Self { needs, ..self }
    }

    /// The same with another configuration of the subject.
    #[must_use]
    pub const fn with(self, setting: fn(&mut Setting)) -> Self {
        Self { setting, ..self }
    }
}

/// Names the rule that a step shows.
pub trait Step<T> {
    /// A step that does not succeed breaks this rule.
    ///
    /// # Errors
    /// The broken rule.
    #[track_caller]
    fn rule(self, rule: &str) -> Result<T, Failure>;
}

impl<T> Step<T> for Result<T, PeerFault> {
    #[track_caller]
    fn rule(self, rule: &str) -> Result<T, Failure> {
        asked::note(Location::caller(), rule, self.is_ok());
        self.map_err(|fault| Failure::new(rule, fault.to_string()))
    }
}

impl<T> Step<T> for Result<T, LabFault> {
    #[track_caller]
    fn rule(self, rule: &str) -> Result<T, Failure> {
        asked::note(Location::caller(), rule, self.is_ok());
        self.map_err(|fault| Failure::new(rule, fault.to_string()))
    }
}

impl<T> Step<T> for Result<T, Failure> {
    #[track_caller]
    fn rule(self, rule: &str) -> Result<T, Failure> {
        asked::note(Location::caller(), rule, self.is_ok());
        self.map_err(|failure| Failure::new(rule, failure.why))
    }
}

impl From<PeerFault> for Failure {
    fn from(fault: PeerFault) -> Self {
        Self::new("ladder", fault.to_string())
    }
}

impl From<LabFault> for Failure {
    fn from(fault: LabFault) -> Self {
        Self::new("ladder", fault.to_string())
    }
}

/// How long a peer waits on loopback for what must come at once.
pub const PATIENCE: Duration = crate::peer::leg::PATIENCE;
