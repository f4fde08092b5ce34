//! Hold and resume, enumerated: every form, both sides, every order (SIP-550 to SIP-552).

use crate::legs;

use bytes::Bytes;
use media_api::{Family, NegotiatedStream, Protection, RealmId};
use sbc_core::media::{Facts, Formats, HoldForm, MediaImage, Profile, interwork, read};
use sbc_core::sdp::{Description, Direction, Limits};

/// How a peer writes that it holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Form {
    SendOnly,
    Inactive,
    Zero,
    ZeroInactive,
}

const FORMS: [Form; 4] = [
    Form::SendOnly,
    Form::Inactive,
    Form::Zero,
    Form::ZeroInactive,
];

/// A peer with a will of its own.
struct Peer {
    image: MediaImage,
    ip: &'static str,
    holds: Option<Form>,
    is_teams: bool,
}

impl Peer {
    fn new(is_teams: bool, hold: HoldForm, number: u8, ip: &'static str) -> Self {
        let mut profile = if is_teams {
            Profile::teams(RealmId(0), Family::V4)
        } else {
            Profile::carrier(RealmId(0), Family::V4)
        };
        profile.hold = hold;
        Self {
            image: legs::leg(profile, number),
            ip,
            holds: None,
            is_teams,
        }
    }

    /// What the peer writes, given what it was offered, if it was.
    fn writes(&self, offered: Option<Direction>) -> Facts {
        let (mut wish, zero) = match self.holds {
            None => (Direction::SendRecv, false),
            Some(_) if self.is_teams => (Direction::Inactive, false),
            Some(Form::SendOnly) => (Direction::SendOnly, false),
            Some(Form::Inactive) => (Direction::Inactive, false),
            Some(Form::Zero) => (Direction::SendRecv, true),
            Some(Form::ZeroInactive) => (Direction::Inactive, true),
        };
        if let Some(offered) = offered {
            wish = wish.answering(offered);
            if self.is_teams && wish != Direction::SendRecv {
                wish = Direction::Inactive;
            }
        }
        let ip = if zero { "0.0.0.0" } else { self.ip };
        let (transport, key) = if self.is_teams {
            (
                "RTP/SAVP",
                "a=rtcp-mux\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 \
                 inline:QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVpbXF1e|2^31\r\n",
            )
        } else {
            ("RTP/AVP", "")
        };
        let body = format!(
            "v=0\r\no=- 1 1 IN IP4 {0}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\n\
             m=audio 30000 {transport} 8 101\r\na=rtpmap:101 telephone-event/8000\r\n{key}a={1}\r\n",
            self.ip,
            wish.name(),
        );
        let body = Description::parse(Bytes::from(body), &Limits::default()).unwrap();
        read(&body, self.image.profile())
    }

    fn stream(&self) -> &NegotiatedStream {
        let agreed = self.image.committed().unwrap().negotiated();
        agreed.streams[0].as_ref().unwrap()
    }
}

fn direction_in(body: &Bytes) -> Direction {
    let body = Description::parse(body.clone(), &Limits::default()).unwrap();
    let media = body.media().next().unwrap();
    let is_open = media
        .connection()
        .is_some_and(|connection| !connection.address.is_unknown());
    let stated = media.direction();
    Direction::from_parts(stated.sends(), stated.receives() && is_open)
}

/// `leg` is told what the other leg does, if it does not know.
fn tell(leg: &mut Peer, other: &Peer, formats: &mut Formats) {
    if !interwork::owes(&leg.image, &other.image) {
        return;
    }
    let asked = interwork::join(&mut leg.image, &other.image).unwrap();
    let told = direction_in(&asked);
    if leg.is_teams {
        assert!(matches!(told, Direction::SendRecv | Direction::Inactive));
    }
    let answer = leg.writes(Some(told));
    interwork::settle(&answer, &mut leg.image, formats).unwrap();
    leg.image.commit().unwrap();
}

/// `from` re-offers its present will and both legs settle.
fn reoffer(from: &mut Peer, to: &mut Peer, formats: &mut Formats) {
    let offer = from.writes(None);
    let (_, offered) = offer.main().unwrap();
    let offered = offered.direction;
    let body = if to.image.committed().is_none() {
        let asked = interwork::offer(offer, &mut from.image, &mut to.image).unwrap();
        let answer = to.writes(Some(direction_in(&asked)));
        let done = interwork::answer(&answer, &mut to.image, &mut from.image, formats).unwrap();
        to.image.commit().unwrap();
        done.body
    } else {
        assert!(interwork::keeps_codec(&offer, &from.image, &to.image));
        interwork::answer_alone(offer, &mut from.image, &to.image, formats)
            .unwrap()
            .body
    };
    from.image.commit().unwrap();
    let answered = direction_in(&body);
    assert_eq!(answered.answering(offered), answered, "a legal answer");
    if from.is_teams {
        assert!(matches!(
            answered,
            Direction::SendRecv | Direction::Inactive
        ));
    }
    tell(to, from, formats);
    for (leg, other) in [(&*from, &*to), (to, from)] {
        let is_due = interwork::owes(&leg.image, &other.image);
        assert!(!is_due, "one offer tells everything");
    }
}

#[test]
fn hold_and_resume_in_every_form_and_order_end_with_both_talking() {
    let told = [
        HoldForm::SendOnly,
        HoldForm::Inactive,
        HoldForm::Zero,
        HoldForm::Hidden,
    ];
    let mut worlds = 0;
    for (x_is_teams, y_is_teams) in [(false, false), (true, false), (false, true), (true, true)] {
        for (x_told, y_told) in told.into_iter().flat_map(|x| told.map(|y| (x, y))) {
            // No trunk of Teams is loaded with this one.
            let is_refused = |is_teams: bool, form| is_teams && form == HoldForm::Zero;
            if is_refused(x_is_teams, x_told) || is_refused(y_is_teams, y_told) {
                continue;
            }
            for (x_form, y_form) in FORMS.into_iter().flat_map(|x| FORMS.map(|y| (x, y))) {
                for order in [
                    "xXyY", "yYxX", "xyXY", "xyYX", "yxXY", "yxYX", "xxXX", "XyxYX",
                ] {
                    let mut formats = Formats::default();
                    let mut x = Peer::new(x_is_teams, x_told, 1, "192.0.2.10");
                    let mut y = Peer::new(y_is_teams, y_told, 2, "192.0.2.20");
                    reoffer(&mut x, &mut y, &mut formats);
                    let before = (x.stream().clone(), y.stream().clone());
                    for step in order.chars() {
                        match step {
                            'x' => x.holds = Some(x_form),
                            'X' => x.holds = None,
                            'y' => y.holds = Some(y_form),
                            _ => y.holds = None,
                        }
                        if step.eq_ignore_ascii_case(&'x') {
                            reoffer(&mut x, &mut y, &mut formats);
                        } else {
                            reoffer(&mut y, &mut x, &mut formats);
                        }
                        for peer in [&x, &y] {
                            let is_sent = peer.stream().direction.sends();
                            assert!(
                                !(peer.holds.is_some() && is_sent),
                                "who holds is sent nothing"
                            );
                        }
                    }
                    let context = format!(
                        "{x_is_teams} {y_is_teams} {x_told:?} {y_told:?} {x_form:?} {y_form:?} {order}"
                    );
                    assert_eq!(x.stream(), &before.0, "{context}");
                    assert_eq!(y.stream(), &before.1, "{context}");
                    worlds += 1;
                }
            }
        }
    }
    assert_eq!(worlds, (16 + 12 + 12 + 9) * 16 * 8);
}

#[test]
fn keys_are_the_same_before_during_and_after_a_hold() {
    let mut formats = Formats::default();
    let mut x = Peer::new(true, HoldForm::Inactive, 1, "192.0.2.10");
    let mut y = Peer::new(false, HoldForm::SendOnly, 2, "192.0.2.20");
    reoffer(&mut x, &mut y, &mut formats);
    let key = |peer: &Peer| match &peer.stream().protection {
        Protection::Sdes { local, .. } => local.expose_key_and_salt().to_vec(),
        Protection::None | Protection::Dtls(_) => panic!("no key"),
    };
    let before = key(&x);
    for holds in [Some(Form::Inactive), None] {
        y.holds = holds;
        reoffer(&mut y, &mut x, &mut formats);
        assert_eq!(key(&x), before);
    }
}

#[test]
fn the_new_leg_of_a_transfer_is_not_offered_the_hold_that_preceded_it() {
    let mut formats = Formats::default();
    let mut x = Peer::new(true, HoldForm::Inactive, 1, "192.0.2.10");
    let mut y = Peer::new(false, HoldForm::Inactive, 2, "192.0.2.20");
    reoffer(&mut x, &mut y, &mut formats);
    x.holds = Some(Form::Inactive);
    reoffer(&mut x, &mut y, &mut formats);

    let mut target = Peer::new(true, HoldForm::Inactive, 3, "192.0.2.30");
    let asked = interwork::invite(&mut target.image, &y.image).unwrap();
    assert_eq!(direction_in(&asked), Direction::SendRecv);
    let answer = target.writes(Some(Direction::SendRecv));
    interwork::settle(&answer, &mut target.image, &mut formats).unwrap();
    target.image.commit().unwrap();

    // The party that was held is taken back in by an offer of ours.
    let asked = interwork::join(&mut y.image, &target.image).unwrap();
    assert_eq!(direction_in(&asked), Direction::SendRecv);
    let answer = y.writes(Some(Direction::SendRecv));
    interwork::settle(&answer, &mut y.image, &mut formats).unwrap();
    y.image.commit().unwrap();
    let (theirs, ours) = (&target.stream().payloads, &y.stream().payloads);
    assert!(
        theirs
            .iter()
            .zip(ours)
            .all(|(left, right)| left.id == right.id)
    );
    assert!(y.stream().direction.sends() && y.stream().direction.receives());
}
