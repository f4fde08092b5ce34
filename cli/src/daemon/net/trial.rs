//! A new certificate of ours is shown to the proxies of Teams before it is put into use (TDR-TLS-015).
//!
//! An authority that Teams does not take shows only when a proxy ends the handshake, and a name that it does not
//! know only in its answer. By then the old certificate would be gone, and the trunk with it. So at the proxies of a
//! trunk, and at the places that the old one has brought a connection to, one after the other until one takes it, a
//! connection is made with the new one and OPTIONS are sent over it, once; where they are answered with 200, the next
//! ones of the minute are theirs (TDR-OPT-006). Where nothing is put into use, hands are shaken only. Of the old one a
//! recent answer is believed, and it is asked only where that decides. Where the new
//! one gets less far than the old one, and nowhere as far as 200, the old one stays in use, and
//! the operator is told. Where no proxy says anything to either, as when Teams is out of order, nothing is decided: the
//! one that Teams has known stays until Teams answers again, or until its last day. All else that the operator has changed of the identity, as whom it believes, counts
//! nevertheless. Derived trunks send no OPTIONS (TDR-OPT-008): theirs are handshakes alone, and none where the
//! carrier trunk tells as much.
//!
//! A hosting node renews a thousand certificates at a time, so trunks are tried side by side, and a place that is slow
//! to answer for one is not asked about the others.

use super::Net;
use super::tls::{TlsContext, TlsStore};
use crate::daemon::resolver::Resolver;
use crate::onboarding::Outcome;
use crate::onboarding::steps::proxies;
use crate::onboarding::teams::{Proxy, Speaker, Standing, Visit};
use crate::sink::log::wall_clock;
use crate::sink::metrics::Direction;
use crate::sink::proxies::Proxies;
use sbc_core::config::{Config, Preset, Trunk};
use sbc_core::id::{TlsContextName, TrunkName};
use sbc_core::policy::ingress::accepts_source;
use sbc_core::time::Timestamp;
use sbc_core::trunk::asked::Asked;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Places at which one trunk is tried: three proxies, and some that calls have led to.
const MOST: usize = 8;
/// Trunks that are tried at a time: a thousand derived ones, with half a second for each, take eight seconds.
const AT_ONCE: usize = 64;
/// A place that takes longer for one certificate says nothing of the others.
const SLOW: Duration = Duration::from_secs(4);

/// An answer of so long ago is as good as one of now: Teams is asked every 60 to 180 s.
const FRESH_US: u64 = 180_000_000;

/// Seconds before its end from which on a certificate does not stay for want of an answer.
const LAST_DAY: i64 = 86_400;

const UNANSWERED: &str = "Teams answers neither our new certificate nor the one in use, which stays; the new one is tried \
                          again as soon as Teams answers OPTIONS with 200, and is used without an answer on the last day \
                          of the one before";

const REFUSED: &str = "Teams refuses our new certificate; the one before stays in use until a reload with one that \
                       Teams takes, from a public authority of Microsoft's programme and with its whole chain";

/// What may be said to Teams in a trial.
#[derive(Clone)]
pub enum Words {
    /// Nothing.
    None(Turns),
    /// OPTIONS.
    Options(Turns),
}

impl Words {
    /// Whether Teams has known a trunk, or the one that it is derived from, since the start.
    fn were_known(&self, trunk: &Trunk) -> bool {
        let (Self::None(turns) | Self::Options(turns)) = self;
        let ways = turns.proxies.of(trunk.watched_as());
        let mut own = ways.iter().filter(|(way, _)| !way.by_peer);
        own.any(|(_, last)| last.good_at.is_some())
    }
}

/// When Teams was asked last, and what it said.
#[derive(Clone)]
pub struct Turns {
    /// When.
    pub asked: Asked,
    /// Since when its times are counted.
    pub started: std::time::Instant,
    /// What it said.
    pub proxies: Arc<Proxies>,
}

impl Turns {
    /// Who is asked now need not be asked again soon.
    fn take(&self, trunk: &Trunk, host: &str) {
        let own = trunk.fqdn.as_deref().unwrap_or(trunk.name.as_str());
        let now = Timestamp::ZERO + self.started.elapsed();
        self.asked.take_turn(now, own, host);
    }

    /// Whether a proxy has just known the trunk by the certificate in use.
    fn is_known(&self, trunk: &Trunk, host: &str) -> bool {
        let ways = self.proxies.of(&trunk.name);
        let mut own = ways.iter().filter(|(way, _)| !way.by_peer);
        own.any(|(way, last)| {
            let age_us = wall_clock().as_micros().saturating_sub(last.at.as_micros());
            way.host.eq_ignore_ascii_case(host) && last.status == Some(200) && age_us <= FRESH_US
        })
    }
}

/// An identity whose certificate on disk is not the one in use.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Kept {
    /// The identity.
    pub context: TlsContextName,
    /// Why, and what to do.
    pub because: &'static str,
    /// Trunks of which one has to be answered with 200 before the certificate is tried again; none if Teams refuses it.
    pub awaits: BTreeSet<TrunkName>,
    /// Names in the certificate that is not in use.
    pub names: Vec<String>,
}

/// What a trial on one trunk has shown.
enum Verdict {
    /// Teams knows it, or says no less to it than to the one in use.
    Taken,
    /// Teams refuses it, which was told.
    Refused,
    /// Nobody has said anything, and Teams has known the trunk.
    Unanswered,
    /// Nobody has said anything, and Teams has never known the trunk: it loses nothing, and says nothing of others.
    Mute,
}

/// What trials have shown of one certificate.
#[derive(Default)]
struct Shown {
    /// Something that Teams has said speaks for it.
    is_taken: bool,
    is_refused: bool,
    /// Trunks on which nobody has said anything, though Teams has known them.
    awaits: BTreeSet<TrunkName>,
}

impl Net {
    /// Tries the certificates that are new and belong to Teams. Those that are refused are exchanged for the ones
    /// in use.
    pub async fn proven(
        &self,
        config: &Arc<Config>,
        mut tls: TlsStore,
        resolver: &Resolver,
        words: &Words,
    ) -> (TlsStore, Vec<Kept>) {
        let mut kept = Vec::new();
        let before = self.identities();
        let same_name = tls.renewed(&before).cloned();
        let same_name = same_name.filter_map(|new| Some((before.get(new.name())?.clone(), new)));
        // An identity may get another name together with its other certificate.
        let store = TlsStore::clone(&tls).succeeding(&before);
        let other_name = store.renamed().filter(|(name, former, new)| {
            before.get(name).is_some() && !new.shows_the_same(former)
        });
        let other_name = other_name.map(|(_, former, new)| (former.clone(), new.clone()));
        let new: Vec<(Arc<TlsContext>, Arc<TlsContext>)> = same_name.chain(other_name).collect();
        let mut of_identity: BTreeMap<&TlsContextName, Vec<&Arc<Trunk>>> = BTreeMap::new();
        for trunk in config
            .trunks
            .values()
            .filter(|trunk| says_more(config, trunk))
        {
            if let Some(name) = &trunk.tls {
                of_identity.entry(name).or_default().push(trunk);
            }
        }
        let slow = Slow::default();
        let mut trials = JoinSet::new();
        let mut shown: BTreeMap<usize, Shown> = BTreeMap::new();
        let mut note = |(at, watched, verdict): (usize, TrunkName, Verdict)| {
            let shown = shown.entry(at).or_default();
            match verdict {
                Verdict::Taken => shown.is_taken = true,
                Verdict::Refused => shown.is_refused = true,
                Verdict::Unanswered => drop(shown.awaits.insert(watched)),
                Verdict::Mute => {}
            }
        };
        let mut number = 0;
        for (at, (old, context)) in new.iter().enumerate() {
            for trunk in of_identity.get(context.name()).into_iter().flatten() {
                if trials.len() >= AT_ONCE
                    && let Some(ended) = trials.join_next().await
                {
                    ended.into_iter().for_each(&mut note);
                }
                let (own, resolver, slow) = (self.clone(), resolver.clone(), slow.clone());
                let (config, trunk) = (Arc::clone(config), Arc::clone(trunk));
                let (old, context) = (Arc::clone(old), Arc::clone(context));
                let words = words.clone();
                trials.spawn(async move {
                    let places = own.places(&trunk, &old, &resolver).await;
                    // Each begins at another place, so that no place has all of them.
                    let first = number % places.len().max(1);
                    let places = [&places[first..], &places[..first]].concat();
                    let asked = (&*config, &*trunk);
                    let verdict = own
                        .judged(asked, &context, &old, (&places, &slow, &words))
                        .await;
                    let verdict = match verdict {
                        Verdict::Unanswered if !words.were_known(&trunk) => Verdict::Mute,
                        other => other,
                    };
                    (at, trunk.watched_as().clone(), verdict)
                });
                number += 1;
            }
        }
        trials.join_all().await.into_iter().for_each(note);
        let now = i64::try_from(wall_clock().as_micros() / 1_000_000).unwrap_or(i64::MAX);
        for (at, shown) in shown {
            let Some((old, context)) = new.get(at) else {
                continue;
            };
            let is_open = !shown.is_taken && !shown.awaits.is_empty();
            let (because, awaits) = match shown.is_refused {
                true => (REFUSED, BTreeSet::new()),
                false if is_open && old.facts().not_after - now > LAST_DAY => {
                    let line = self.shared.log.warn("certificate_unanswered", UNANSWERED);
                    let line = line.with("context", context.name());
                    let days = (old.facts().not_after - now).div_euclid(86_400);
                    line.with("subject", &context.facts().subject)
                        .with("days_left", days)
                        .send();
                    (UNANSWERED, shown.awaits)
                }
                false => continue,
            };
            kept.push(Kept {
                context: context.name().clone(),
                because,
                awaits,
                names: context.facts().names.clone(),
            });
            tls.put(Arc::new(context.showing(old)));
        }
        for (remote, trunks) in slow.passed_over() {
            let text = "a place of Teams is slow: new certificates were not tried there";
            let line = self.shared.log.warn("certificate_untried", text);
            line.with("remote", remote).with("trunks", trunks).send();
        }
        (tls, kept)
    }

    /// What Teams makes of a certificate on a trunk.
    async fn judged(
        &self,
        (config, trunk): (&Config, &Trunk),
        context: &TlsContext,
        old: &TlsContext,
        (places, slow, words): (&[Proxy], &Slow, &Words),
    ) -> Verdict {
        let mut refused = None;
        let mut is_told = false;
        for proxy in places {
            if slow.passes_over(proxy.address) {
                continue;
            }
            let begun = Instant::now();
            let tried = tried((config, trunk), context, proxy, words).await;
            slow.note(proxy.address, begun);
            if tried.standing == Standing::Refused {
                let net = &self.shared.metrics.net;
                net.handshake(context.name(), Direction::Out, "alert");
            }
            match tried.standing {
                Standing::Known => return Verdict::Taken,
                Standing::Unknown => {}
                Standing::Refused | Standing::Shaken => {
                    let before = stood((config, trunk), old, proxy, (words, &tried)).await;
                    is_told |= tried.is_told || before.1;
                    // Who treats everybody so does not mean the certificate.
                    if before.0 > tried.standing {
                        let why = match tried.outcome {
                            Outcome::Failed { cause, .. } => cause,
                            other => other.to_string(),
                        };
                        refused = Some((proxy.address, why));
                    }
                }
            }
        }
        match refused {
            Some((remote, why)) => {
                let line = self.shared.log.error("certificate_refused", REFUSED);
                line.with("context", context.name())
                    .with("trunk", &trunk.name)
                    .with("subject", &context.facts().subject)
                    .with("remote", remote)
                    .with("why", why)
                    .send();
                Verdict::Refused
            }
            None if is_told => Verdict::Taken,
            None => Verdict::Unanswered,
        }
    }

    /// Where a trunk's certificate is tried: its proxies, and where the one before has brought a connection to. Nobody
    /// is asked who is not at an address of Teams.
    async fn places(&self, trunk: &Trunk, old: &TlsContext, resolver: &Resolver) -> Vec<Proxy> {
        let named = proxies(resolver, trunk).await.into_iter().flatten();
        let keys = self.shared.pool.keys_of(old.name()).into_iter();
        let met = keys.filter_map(|key| {
            Some(Proxy {
                host: key.tls?.server_name.clone(),
                port: key.remote.port(),
                address: key.remote,
            })
        });
        let mut places: Vec<Proxy> = Vec::new();
        for place in named.chain(met) {
            let is_new = places.iter().all(|other| other.address != place.address);
            if is_new && accepts_source(trunk, place.address.ip()) && places.len() < MOST {
                places.push(place);
            }
        }
        places
    }
}

/// Whether a trial on this trunk of Teams tells more than those on others: a derived one's handshake is the same as
/// its carrier trunk's where identity and proxies are.
fn says_more(config: &Config, trunk: &Trunk) -> bool {
    let carrier = trunk.carrier.as_ref();
    let carrier = carrier.and_then(|name| config.trunks.get(name));
    trunk.preset == Preset::Teams
        && carrier
            .is_none_or(|carrier| carrier.tls != trunk.tls || carrier.targets != trunk.targets)
}

/// Places that were slow during one trial of all, and how many trunks were not tried there therefore.
#[derive(Clone, Default)]
struct Slow(Arc<Mutex<BTreeMap<SocketAddr, usize>>>);

impl Slow {
    fn note(&self, place: SocketAddr, begun: Instant) {
        if begun.elapsed() >= SLOW {
            let mut slow = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            slow.entry(place).or_default();
        }
    }

    fn passes_over(&self, place: SocketAddr) -> bool {
        let mut slow = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = slow.get_mut(&place);
        passed.map(|trunks| *trunks += 1).is_some()
    }

    /// Where any trunk was not tried.
    fn passed_over(&self) -> Vec<(SocketAddr, usize)> {
        let slow = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = slow.iter().filter(|(_, trunks)| **trunks > 0);
        passed.map(|(place, trunks)| (*place, *trunks)).collect()
    }
}

/// How far a new certificate gets at a proxy.
async fn tried(
    (config, trunk): (&Config, &Trunk),
    tls: &TlsContext,
    proxy: &Proxy,
    words: &Words,
) -> Visit {
    let speaker = Speaker { config, trunk, tls };
    match words {
        Words::Options(turns) if asks(trunk) => {
            let visit = speaker.stands_with(proxy).await;
            // Who was asked by the certificate that is used next need not be asked again soon (TDR-OPT-006).
            if visit.standing == Standing::Known {
                turns.take(trunk, &proxy.host);
            }
            visit
        }
        Words::Options(_) | Words::None(_) => {
            let visit = speaker.shakes_hands(proxy).await;
            match visit.standing {
                // Nobody can know more.
                Standing::Shaken => Visit {
                    standing: Standing::Known,
                    ..visit
                },
                _ => visit,
            }
        }
    }
}

/// How far the certificate in use gets at a proxy where the new one gets so far, and whether the proxy has said so. What
/// it said before counts against a word of its own only: it may be out of order since.
async fn stood(
    (config, trunk): (&Config, &Trunk),
    tls: &TlsContext,
    proxy: &Proxy,
    (words, new): (&Words, &Visit),
) -> (Standing, bool) {
    let speaker = Speaker { config, trunk, tls };
    let visit = match words {
        Words::Options(turns) if new.is_told && turns.is_known(trunk, &proxy.host) => {
            return (Standing::Known, true);
        }
        Words::Options(_) if new.standing == Standing::Shaken && asks(trunk) => {
            speaker.stands_with(proxy).await
        }
        // Who takes the one and not the other has said enough.
        Words::Options(_) | Words::None(_) => speaker.shakes_hands(proxy).await,
    };
    (visit.standing, visit.is_told)
}

/// Whether a trunk sends OPTIONS of its own.
fn asks(trunk: &Trunk) -> bool {
    *trunk.watched_as() == trunk.name && trunk.options.is_some()
}
