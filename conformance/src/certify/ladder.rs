//! Common ladders: calls to Teams and from Teams, answered, talked, ended.

use super::case::{PATIENCE, Played, Step};
use super::setting::{OUTSIDE, USER};
use super::stage::Stage;
use super::verdict::Failure;
use crate::media::sdp::{self, Media};
use crate::media::tone::Codec;
use crate::media::voice::Voice;
use crate::peer::fault::PeerFault;
use crate::peer::leg::{Leg, Parties};
use crate::peer::message::Message;
use std::time::Duration;

/// Tones of the caller and of the called.
pub const TONES: (f64, f64) = (437.3, 611.7);

/// Longest time without audio where nothing may be interrupted.
const GAP: Duration = Duration::from_millis(200);

/// Who called, and what his INVITE was.
pub struct Caller {
    /// His side of the dialog.
    pub leg: Leg,
    /// The INVITE.
    pub invite: Vec<u8>,
    /// His audio.
    pub voice: Voice,
}

/// Who is called.
pub struct Called {
    /// His side of the dialog.
    pub leg: Leg,
    /// What he is offered.
    pub offer: Media,
    /// His audio.
    pub voice: Voice,
}

/// An answered call.
pub struct Talk {
    /// Who called.
    pub caller: Caller,
    /// Who was called.
    pub called: Called,
}

fn unreadable(peer: &str) -> impl FnOnce(String) -> PeerFault {
    let peer = peer.to_owned();
    move |why| PeerFault::Media { peer, why }
}

impl Stage {
    /// The carrier calls the user of Teams.
    ///
    /// # Errors
    /// The rule `ladder`.
    pub async fn carrier_dials(&self) -> Result<Caller, Failure> {
        self.carrier_dials_as(USER, |_| {}).await
    }

    /// The carrier calls with an INVITE that the case changes.
    ///
    /// # Errors
    /// The rule `ladder`.
    pub async fn carrier_dials_as(
        &self,
        called: &str,
        change: impl FnOnce(&mut Parties),
    ) -> Result<Caller, Failure> {
        let voice = self.voice_of_carrier().await?;
        let offer = sdp::carrier_offer(voice.at, &[Codec::Pcma, Codec::Pcmu]);
        self.carrier_offers(called, voice, offer, change)
    }

    /// The carrier calls with a description of the case's own; an empty one is none.
    ///
    /// # Errors
    /// The rule `ladder`.
    pub fn carrier_offers(
        &self,
        called: &str,
        voice: Voice,
        offer: String,
        change: impl FnOnce(&mut Parties),
    ) -> Result<Caller, Failure> {
        let carrier = &self.carriers[0];
        let mut parties = carrier.parties(self.carrier_side, OUTSIDE, called);
        change(&mut parties);
        let (leg, invite) = carrier.call_as(self.carrier_side, OUTSIDE, &parties, offer)?;
        Ok(Caller { leg, invite, voice })
    }

    /// The user of Teams calls a number outside.
    ///
    /// # Errors
    /// The rule `ladder`.
    pub async fn teams_dials(&self) -> Result<Caller, Failure> {
        self.teams_dials_as(0, OUTSIDE, |_| {}).await
    }

    /// The user of Teams calls through one of the proxies, with an INVITE that the case changes.
    ///
    /// # Errors
    /// The rule `ladder`.
    pub async fn teams_dials_as(
        &self,
        proxy: usize,
        called: &str,
        change: impl FnOnce(&mut Parties),
    ) -> Result<Caller, Failure> {
        let voice = self.voice_of_teams().await?;
        let offer = sdp::teams_offer(voice.at, &voice.key);
        self.teams_offers(proxy, called, voice, offer, change).await
    }

    /// The user of Teams calls with a description of the case's own.
    ///
    /// # Errors
    /// The rule `ladder`.
    pub async fn teams_offers(
        &self,
        proxy: usize,
        called: &str,
        voice: Voice,
        offer: String,
        change: impl FnOnce(&mut Parties),
    ) -> Result<Caller, Failure> {
        let (proxy, trunk) = (&self.proxies[proxy], self.trunk());
        let mut parties = proxy.parties(&trunk, USER, called);
        change(&mut parties);
        let (leg, invite) = proxy.call_as(&trunk, &parties, offer).await?;
        Ok(Caller { leg, invite, voice })
    }

    /// The first proxy has an INVITE of the subject, and said 100.
    ///
    /// # Errors
    /// The rule `ladder`.
    pub async fn teams_is_called(&self) -> Result<Called, Failure> {
        self.proxy_is_called(0).await
    }

    /// A proxy has an INVITE of the subject, and said 100.
    ///
    /// # Errors
    /// The rule `ladder`.
    pub async fn proxy_is_called(&self, index: usize) -> Result<Called, Failure> {
        let invite = self.call_to_proxy(index, PATIENCE).await?;
        let mut leg = self.proxies[index].take(invite).await?;
        leg.respond(100, "Trying", None, &[])?;
        let offer = sdp::read(&leg.offer()).map_err(unreadable("Teams"))?;
        let voice = self.voice_of_teams().await?;
        Ok(Called { leg, offer, voice })
    }

    /// The carrier has an INVITE of the subject, and said 100.
    ///
    /// # Errors
    /// The rule `ladder`.
    pub async fn carrier_is_called(&self) -> Result<Called, Failure> {
        self.carrier_is_called_at(0).await
    }

    /// One of the carriers has an INVITE of the subject, and said 100.
    ///
    /// # Errors
    /// The rule `ladder`.
    pub async fn carrier_is_called_at(&self, index: usize) -> Result<Called, Failure> {
        let invite = self.call_to_carrier(index, PATIENCE).await?;
        let mut leg = self.carriers[index].take(invite);
        leg.respond(100, "Trying", None, &[])?;
        let offer = sdp::read(&leg.offer()).map_err(unreadable("carrier"))?;
        let voice = self.voice_of_carrier().await?;
        Ok(Called { leg, offer, voice })
    }

    /// An answered call to Teams with audio both ways.
    ///
    /// # Errors
    /// The first rule that was broken.
    pub async fn to_teams(&self) -> Result<Talk, Failure> {
        let caller = self.carrier_dials().await?;
        let called = self.teams_is_called().await?;
        self.answered(caller, called).await
    }

    /// An answered call from Teams with audio both ways.
    ///
    /// # Errors
    /// The first rule that was broken.
    pub async fn from_teams(&self) -> Result<Talk, Failure> {
        let caller = self.teams_dials().await?;
        let called = self.carrier_is_called().await?;
        self.answered(caller, called).await
    }

    /// Rings and answers; both play their tones, and each must hear the other.
    ///
    /// # Errors
    /// The first rule that was broken.
    pub async fn answered(&self, mut caller: Caller, mut called: Called) -> Result<Talk, Failure> {
        called.leg.respond(180, "Ringing", None, &[])?;
        caller.leg.hears(180, PATIENCE).await?;
        let answer = called.answer(Codec::Pcma);
        called.leg.respond(200, "OK", Some(answer), &[])?;
        let talk = Talk { caller, called }.established().await?;
        self.hear_each_other(&talk).await?;
        Ok(talk)
    }

    /// What a voice heard since its gaps are measured had no gap, but for the time that peers were late themselves. A
    /// bad network makes gaps of its own.
    pub fn is_uninterrupted(&self, rule: &str, voice: &Voice) {
        let (gap, name) = (voice.heard().gaps.longest(), voice.name);
        let stalls = self.ears().into_iter().map(|ear| ear.heard().longest_stall);
        let stall = stalls.max().unwrap_or_default();
        let is_whole = gap <= GAP + stall || self.kit.network.is_some();
        self.check(rule, is_whole, || {
            format!(
                "{name} hears nothing for {gap:?}, wanted at most {GAP:?}, and peers were late by {stall:?}"
            )
        });
    }

    /// Both sides play their tones, and each must hear the other.
    ///
    /// # Errors
    /// The rule `audio`.
    pub async fn hear_each_other(&self, talk: &Talk) -> Played {
        let Talk { caller, called } = talk;
        self.voices_hear_each_other(&caller.voice, &called.voice)
            .await
    }

    /// The same of two voices, whoever they belong to.
    ///
    /// # Errors
    /// The rule `audio`.
    pub async fn voices_hear_each_other(&self, one: &Voice, other: &Voice) -> Played {
        one.plays(TONES.0);
        other.plays(TONES.1);
        let (heard_by_other, heard_by_one) = tokio::join!(
            other.waits_for(TONES.0, PATIENCE),
            one.waits_for(TONES.1, PATIENCE)
        );
        for (is_heard, of, by) in [(heard_by_other, one, other), (heard_by_one, other, one)] {
            if !is_heard {
                let (of, by, heard) = (of.name, by.name, by.heard());
                let why = format!("{by} does not hear the tone of {of}; what came: {heard:?}");
                return Err(Failure::new("audio", why));
            }
        }
        Ok(())
    }
}

impl Caller {
    /// Waits for 200, acknowledges it, and turns to where its description says.
    ///
    /// # Errors
    /// The rule `ladder`.
    pub async fn is_answered(&mut self) -> Result<Message, Failure> {
        let answer = self.leg.final_response().await?;
        if !matches!(answer.status(), Some(200..=299)) {
            return Err(self.leg.unexpected("200 for its INVITE", &answer).into());
        }
        self.leg.acknowledge(&answer)?;
        if !answer.body().is_empty() {
            self.hears_of(&answer)?;
        }
        Ok(answer)
    }

    /// Turns to where a description says.
    ///
    /// # Errors
    /// The rule `ladder`.
    pub fn hears_of(&self, message: &Message) -> Result<Media, Failure> {
        let media = sdp::read(&message.body()).map_err(unreadable(self.voice.name))?;
        self.voice.hears_of(&media)?;
        Ok(media)
    }

    /// Waits for a final response that is no 2xx.
    ///
    /// # Errors
    /// The rule `ladder`.
    pub async fn is_refused(&mut self) -> Result<Message, Failure> {
        let answer = self.leg.final_response().await?;
        match answer.status() {
            Some(300..) => Ok(answer),
            _ => Err(self.leg.unexpected("a refusal", &answer).into()),
        }
    }
}

impl Called {
    /// The INVITE that came.
    ///
    /// # Errors
    /// The rule `ladder`; there always is one.
    pub fn invite(&self) -> Result<&Message, Failure> {
        let invite = self.leg.invitation().map(|invite| &invite.message);
        invite.ok_or_else(|| Failure::new("ladder", "there is no INVITE"))
    }

    /// A description for the offer, and the voice turns to where the offer says.
    pub fn answer(&self, codec: Codec) -> String {
        let mut chosen = self.offer.clone();
        let is_other = |of: Option<Codec>| of.is_some_and(|of| of != codec);
        chosen
            .formats
            .retain(|format| !is_other(Codec::of(&format.encoding)));
        // A voice that cannot use the offer hears nothing, and that is noticed.
        let _ = self.voice.hears_of(&chosen);
        self.description(codec)
    }

    /// A description for the offer.
    pub fn description(&self, codec: Codec) -> String {
        let key = self.offer.keys.first();
        let key = key.map(|offered| (offered.tag.as_str(), &self.voice.key));
        sdp::answer(&self.offer, codec, self.voice.at, key)
    }

    /// Turns to where a later offer says.
    ///
    /// # Errors
    /// The rule `ladder`.
    pub fn hears_of(&mut self, message: &Message) -> Result<(), Failure> {
        self.offer = sdp::read(&message.body()).map_err(unreadable(self.voice.name))?;
        self.voice.hears_of(&self.offer)?;
        Ok(())
    }
}

impl Talk {
    /// Both sides have the answer and the ACK.
    ///
    /// # Errors
    /// The rule `ladder`.
    pub async fn established(mut self) -> Result<Self, Failure> {
        self.caller.is_answered().await?;
        self.called.leg.acknowledged().await.rule("TDR-SIP-021")?;
        Ok(self)
    }

    /// The caller hangs up, and the called hears it.
    ///
    /// # Errors
    /// The rule `ladder`.
    pub async fn caller_ends(&mut self) -> Played {
        let (bye, ended) =
            tokio::join!(self.caller.leg.hang_up(), self.called.leg.hung_up(PATIENCE));
        self.is_done();
        Ok(bye.and(ended)?)
    }

    /// The called hangs up, and the caller hears it.
    ///
    /// # Errors
    /// The rule `ladder`.
    pub async fn called_ends(&mut self) -> Played {
        let (bye, ended) =
            tokio::join!(self.called.leg.hang_up(), self.caller.leg.hung_up(PATIENCE));
        self.is_done();
        Ok(bye.and(ended)?)
    }

    fn is_done(&self) {
        self.caller.voice.is_done();
        self.called.voice.is_done();
    }

    /// The call is talked for so long.
    pub async fn lasts(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}
