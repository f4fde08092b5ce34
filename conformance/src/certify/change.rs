//! Changes within a call: both ends offer, and answer what they are offered.

use super::case::PATIENCE;
use super::ladder::{Called, Caller, Talk};
use super::stage::Stage;
use super::verdict::Failure;
use crate::media::sdp;
use crate::media::tone::Codec;
use crate::media::voice::Voice;
use crate::peer::agent::Received;
use crate::peer::fault::PeerFault;
use crate::peer::leg::Leg;
use crate::peer::message::Message;
use std::time::Duration;

/// One end of an answered call.
pub struct End<'t> {
    /// Its side of the dialog.
    pub leg: &'t mut Leg,
    /// Its audio.
    pub voice: &'t mut Voice,
}

impl Caller {
    /// This end of the call.
    pub fn end(&mut self) -> End<'_> {
        let (leg, voice) = (&mut self.leg, &mut self.voice);
        End { leg, voice }
    }
}

impl Called {
    /// This end of the call.
    pub fn end(&mut self) -> End<'_> {
        let (leg, voice) = (&mut self.leg, &mut self.voice);
        End { leg, voice }
    }
}

impl Talk {
    /// Both ends: the caller's, and that of the called.
    pub fn ends(&mut self) -> (End<'_>, End<'_>) {
        (self.caller.end(), self.called.end())
    }
}

impl End<'_> {
    /// A description of its own; versions begin with 1 and rise.
    pub fn describes(&self, version: u32, direction: &str) -> String {
        let text = match self.is_teams() {
            true => sdp::teams_offer(self.voice.at, &self.voice.key),
            false => sdp::carrier_offer(self.voice.at, &[Codec::Pcma, Codec::Pcmu]),
        };
        again(&text, version, direction)
    }

    fn is_teams(&self) -> bool {
        self.voice.name == "Teams"
    }

    /// Offers a description, wants it accepted, and turns to where the answer says.
    ///
    /// # Errors
    /// The rule `ladder`.
    pub async fn offers(&mut self, description: String) -> Result<Message, Failure> {
        self.offers_with(description, &[]).await
    }

    /// The same with further header fields.
    ///
    /// # Errors
    /// The rule `ladder`.
    pub async fn offers_with(
        &mut self,
        description: String,
        extra: &[(&str, String)],
    ) -> Result<Message, Failure> {
        let mut answer = self
            .leg
            .ask("INVITE", extra, Some(description.clone()))
            .await?;
        // While the network holds back what ends the offer before this one, 491 is right (RFC 3261 §14.2).
        let mut left = if self.leg.is_impaired() { REPEATS } else { 0 };
        while answer.status() == Some(491) && left > 0 {
            left -= 1;
            tokio::time::sleep(GLARE).await;
            answer = self
                .leg
                .ask("INVITE", extra, Some(description.clone()))
                .await?;
        }
        if answer.status() != Some(200) {
            return Err(self.leg.unexpected("200 for its re-INVITE", &answer).into());
        }
        self.hears_of(&answer)?;
        Ok(answer)
    }

    /// Is offered a change, and agrees to it. Gives the offer.
    ///
    /// # Errors
    /// The rule `ladder`.
    pub async fn is_offered(&mut self) -> Result<Message, Failure> {
        let offer = self.leg.asked("INVITE", PATIENCE).await?;
        self.agrees(&offer).await?;
        Ok(offer.message)
    }

    /// The same, where it need not come at all.
    ///
    /// # Errors
    /// The rule `ladder`.
    pub async fn may_be_offered(&mut self, patience: Duration) -> Result<Option<Message>, Failure> {
        match self.leg.asked("INVITE", patience).await {
            Ok(offer) => {
                self.agrees(&offer).await?;
                Ok(Some(offer.message))
            }
            Err(PeerFault::Silence { .. }) => Ok(None),
            Err(fault) => Err(fault.into()),
        }
    }

    /// Agrees to an offer.
    ///
    /// # Errors
    /// The rule `ladder`.
    pub async fn agrees(&mut self, offer: &Received) -> Result<(), Failure> {
        let media = self.hears_of(&offer.message)?;
        let codec = media.codec().unwrap_or(Codec::Pcma);
        let key = media.keys.first();
        let key = key.map(|offered| (offered.tag.as_str(), &self.voice.key));
        let text = sdp::answer(&media, codec, self.voice.at, key);
        let text = text.replace("a=sendrecv", mirrored(direction(&offer.message)));
        Ok(self.leg.accept(offer, text).await?)
    }

    /// Turns to where a description says.
    ///
    /// # Errors
    /// The rule `ladder`.
    pub fn hears_of(&self, message: &Message) -> Result<sdp::Media, Failure> {
        let peer = self.voice.name.to_owned();
        let media = sdp::read(&message.body()).map_err(|why| PeerFault::Media { peer, why })?;
        self.voice.hears_of(&media)?;
        Ok(media)
    }

    /// From now on its audio is elsewhere, with another key; what was there is silent.
    pub fn continues_with(&mut self, voice: Voice) {
        *self.voice = voice;
    }
}

impl Stage {
    /// One end offers a change, and the other is asked first or told afterwards, or neither.
    /// Gives the answer.
    ///
    /// # Errors
    /// The rule `ladder`.
    pub async fn one_changes(
        &self,
        one: &mut End<'_>,
        other: &mut End<'_>,
        description: String,
    ) -> Result<Message, Failure> {
        let asked = async {
            loop {
                if let Err(failure) = other.is_offered().await {
                    return failure;
                }
            }
        };
        let answer = tokio::select! {
            answer = one.offers(description) => answer?,
            failure = asked => return Err(failure),
        };
        other.may_be_offered(SETTLED).await?;
        Ok(answer)
    }
}

/// After 491 an offer is repeated so often, each time after so long (RFC 3261 §14.1).
const REPEATS: u32 = 2;
const GLARE: Duration = Duration::from_millis(2_100);

/// How long the end that did not ask for a change may wait until it is told of it.
pub const SETTLED: Duration = Duration::from_secs(1);

/// A description once more: with another version, and another direction.
pub fn again(text: &str, version: u32, direction: &str) -> String {
    let mut lines: Vec<String> = text.split("\r\n").map(str::to_owned).collect();
    for line in &mut lines {
        if line.starts_with("o=") {
            let words: Vec<&str> = line.split(' ').collect();
            if let [name, id, _, rest @ ..] = words.as_slice() {
                *line = format!("{name} {id} {} {}", version + 1, rest.join(" "));
            }
        } else if line == "a=sendrecv" {
            direction.clone_into(line);
        }
    }
    lines.join("\r\n")
}

/// The direction that a description has.
pub fn direction(message: &Message) -> &'static str {
    let body = message.body();
    let known = ["a=sendonly", "a=recvonly", "a=inactive"].into_iter();
    let mut found = known.filter(|known| body.lines().any(|line| line == *known));
    found.next().unwrap_or("a=sendrecv")
}

fn mirrored(direction: &str) -> &str {
    match direction {
        "a=sendonly" => "a=recvonly",
        "a=recvonly" => "a=sendonly",
        same => same,
    }
}
