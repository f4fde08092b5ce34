//! Seed → scenario.

use crate::actor::{
    Ack, Act, Cancel, Change, Codecs, HABITS, HOLDS, Leave, Oddity, Reaction, Script, Wanted,
};
use crate::dice::Dice;
use crate::fault::{ActorIndex, Fault, Trouble};
use crate::scenario::{Extra, Happening, PlannedCall, Scenario, Setting, Zone};
use crate::topology::{
    self, MEMBERS, NORTH_1, NORTH_2, SOUTH, STRANGER, TEAMS_1, TEAMS_2, TEAMS_3,
};
use sbc_core::media::Dtmf;
use sbc_core::query::ResolveFault;
use sbc_core::transport::Protocol;
use std::time::Duration;

/// Faults are over after this.
const CALM: Duration = Duration::from_secs(60);

/// The scenario of a seed.
pub fn generate(seed: u64) -> Scenario {
    let mut dice = Dice::new(seed, "scenario");
    let mut scenario = Scenario::quiet(seed);
    scenario.latency = dice.between(ms(1), ms(120));
    scenario.jitter = if dice.chance(50) {
        dice.between(ms(0), ms(60))
    } else {
        ms(0)
    };
    let calls = 1 + dice.below(6);
    for _ in 0..calls {
        scenario = scenario.call(|call| planned(call, &mut dice));
    }
    if dice.chance(60) {
        for _ in 0..=dice.below(3) {
            let fault = fault(&mut dice);
            scenario.faults.push(fault);
        }
    }
    for _ in 0..dice.below(3) {
        let extra = extra(&mut dice);
        scenario.extras.push(extra);
    }
    let zones = [Zone::Ranked, Zone::Weighted, Zone::Plain];
    scenario.zone = *Dice::new(seed, "zone").pick(&zones);
    reliability(&mut scenario.calls, &mut Dice::new(seed, "reliability"));
    early_offers(&mut scenario.calls, &mut Dice::new(seed, "early offers"));
    let mut dice = Dice::new(seed, "lost acks");
    for call in &mut scenario.calls {
        if dice.chance(12) {
            call.dial.lost_acks = 1 + dice.below(3) as u8;
        }
    }
    setting(&mut scenario, &mut Dice::new(seed, "setting"));
    scenario = transfers(scenario, &mut Dice::new(seed, "transfers"));
    onward(&mut scenario, &mut Dice::new(seed, "onward"));
    habits(&mut scenario.calls, &mut Dice::new(seed, "habits"));
    if scenario.setting.has_limits {
        let mut dice = Dice::new(seed, "more calls");
        for _ in 0..3 + dice.below(5) {
            scenario = scenario.call(|call| planned(call, &mut dice));
        }
    }
    scenario
}

/// Who speaks of reliable provisionals: Teams never, the others now and then.
fn reliability(calls: &mut [PlannedCall], dice: &mut Dice) {
    for call in calls {
        let is_teams = call.caller < NORTH_1;
        let lost = |dice: &mut Dice| u8::from(dice.chance(20));
        call.dial.requires_reliable = !is_teams && dice.chance(25);
        call.dial.offers_in_prack = call.dial.requires_reliable && dice.chance(30);
        call.dial.lost_provisionals = lost(dice);
        for (callee, script) in &mut call.scripts {
            script.is_reliable = *callee >= NORTH_1 && dice.chance(30);
            script.lost_pracks = lost(dice);
        }
    }
}

/// Who offers again before the answer, where the first exchange is made reliably.
fn early_offers(calls: &mut [PlannedCall], dice: &mut Dice) {
    let mut offer = |is_reliable: bool| {
        let wanted = match dice.below(6) {
            0 | 1 => Wanted::Move,
            2 => Wanted::Codecs(*dice.pick(&[Codecs::A, Codecs::U])),
            3 | 4 => Wanted::Hold(*dice.pick(&HOLDS)),
            _ => Wanted::Nothing,
        };
        (dice.chance(40) && is_reliable).then_some(wanted)
    };
    for call in calls {
        call.dial.early_offer = offer(call.dial.requires_reliable);
        for (_, script) in &mut call.scripts {
            script.early_offer = offer(script.is_reliable);
        }
    }
}

/// What the operator has configured otherwise than usual. Where REFER is passed on, parties transfer.
fn setting(scenario: &mut Scenario, dice: &mut Dice) {
    scenario.setting = Setting {
        rings_at_once: dice.chance(12),
        relays_transfers: dice.chance(8),
        registers: dice.chance(7),
        plays_sounds: Dice::new(scenario.seed, "sounds").chance(30),
        moves_media: false,
        past_us: None,
        has_limits: false,
        is_terse: Dice::new(scenario.seed, "short forms").chance(15),
        dtmf: dice.chance(8).then(|| {
            let of_teams = *dice.pick(&[Dtmf::Rfc4733, Dtmf::Inband, Dtmf::Auto]);
            let all = [Dtmf::Rfc4733, Dtmf::Info, Dtmf::Inband, Dtmf::Auto];
            [of_teams, *dice.pick(&all)]
        }),
    };
    // Calls that join later have nobody who registers, or is referred to.
    let is_usual = !scenario.setting.registers && !scenario.setting.relays_transfers;
    scenario.setting.has_limits = is_usual && Dice::new(scenario.seed, "admission").chance(15);
    if scenario.setting.registers {
        let of_teams = scenario
            .calls
            .iter_mut()
            .filter(|call| call.caller < NORTH_1);
        for call in of_teams {
            let member = MEMBERS[call.tenant];
            let script = script(call.dial.call, member, dice);
            call.scripts.push((member, script));
        }
    }
    if !scenario.setting.relays_transfers {
        return;
    }
    for call in &mut scenario.calls {
        let transfer = transfer(dice, Wanted::Transfer);
        if dice.chance(30) {
            continue;
        }
        if call.caller < NORTH_1 {
            call.dial.changes.push(transfer);
            continue;
        }
        for (_, script) in &mut call.scripts {
            script.changes.push(transfer);
        }
    }
}

/// A transfer, and when its transferor leaves.
fn transfer(dice: &mut Dice, wanted: fn(Leave) -> Wanted) -> Change {
    let leave = match dice.below(4) {
        0 => Leave::After(dice.between(ms(0), Duration::from_secs(2))),
        1 => Leave::Never,
        _ => Leave::WhenDone,
    };
    let after = dice.between(ms(50), Duration::from_secs(3));
    Change::new(after, wanted(leave))
}

/// Where REFER is carried out by us, called parties transfer blindly, and carriers that call join the parties of two
/// calls. Targets are at Teams, on whichever of its addresses.
fn transfers(mut scenario: Scenario, dice: &mut Dice) -> Scenario {
    let setting = &scenario.setting;
    let is_usual = !setting.relays_transfers && !setting.registers && !setting.has_limits;
    if !is_usual || !dice.chance(25) {
        return scenario;
    }
    let mut consulted = Vec::new();
    for call in &mut scenario.calls {
        if dice.chance(30) {
            continue;
        }
        if call.caller >= NORTH_1 && dice.chance(40) {
            call.dial.changes.push(transfer(dice, Wanted::Attended));
            let first = call.at.saturating_sub(Duration::from_secs(1));
            consulted.push((call.tenant, call.caller, first));
            continue;
        }
        let blind = transfer(dice, Wanted::Transfer);
        for (_, script) in &mut call.scripts {
            script.changes.push(blind);
        }
        let number = call.dial.call;
        let targets = [TEAMS_1, TEAMS_2, TEAMS_3];
        call.targets = targets
            .map(|target| (target, script(number, target, dice)))
            .into();
    }
    let before = scenario.calls.len();
    for (tenant, caller, first) in consulted {
        scenario = scenario.call(|call| {
            let mut plan = PlannedCall::between(call, tenant, caller, TEAMS_1);
            plan.dial.hang_up = Some(dice.between(ms(0), Duration::from_secs(8)));
            plan.at = first + dice.between(ms(0), Duration::from_secs(3));
            let callees = [TEAMS_1, TEAMS_2, TEAMS_3];
            plan.scripts = callees
                .map(|callee| (callee, script(call, callee, dice)))
                .into();
            for (_, script) in &mut plan.scripts {
                // Two parties of different calls that talk for ever would look like halves of calls.
                script.hang_up.get_or_insert(Duration::from_secs(10));
            }
            plan
        });
    }
    let joining = scenario.calls.get_mut(before..).unwrap_or_default();
    reliability(joining, dice);
    early_offers(joining, dice);
    scenario
}

/// Whom the carrier of one customer alone leads to the public network: to targets of its transfers, who ring, offer and
/// confirm as called parties do, and to where those are reached that it redirects.
fn onward(scenario: &mut Scenario, dice: &mut Dice) {
    let setting = &scenario.setting;
    if setting.relays_transfers || setting.registers || setting.has_limits {
        return;
    }
    let carriers = [SOUTH, NORTH_1, NORTH_2];
    for call in &mut scenario.calls {
        if call.caller >= NORTH_1 || !call.scripts.iter().any(is_of_south) {
            continue;
        }
        let number = call.dial.call;
        if dice.chance(35) {
            let change = transfer(dice, Wanted::TransferOut);
            for (_, script) in call.scripts.iter_mut().filter(|own| is_of_south(own)) {
                let is_transfer = |own: &Change| matches!(own.wanted, Wanted::Transfer(_));
                script.changes.retain(|own| !is_transfer(own));
                script.changes.push(change);
            }
            let targets = carriers.map(|target| (target, outside(number, target, dice)));
            call.targets.extend(targets);
        }
        if !dice.chance(25) {
            continue;
        }
        call.moved = carriers
            .map(|place| (place, outside(number, place, dice)))
            .into();
        let parties = call.scripts.iter_mut().chain(&mut call.targets);
        for (_, script) in parties.filter(|own| is_of_south(own)) {
            if dice.chance(60)
                && let Some((_, last)) = script.acts.last_mut()
            {
                *last = Act::Redirect;
            }
        }
    }
}

fn is_of_south((callee, _): &(ActorIndex, Script)) -> bool {
    *callee == SOUTH
}

/// Somebody of the public network, who may confirm, be confirmed, and offer while it rings. Its offers number formats in
/// its own way, which may be a number that we have given to another one (SIP-505).
fn outside(call: usize, callee: ActorIndex, dice: &mut Dice) -> Script {
    let mut script = script(call, callee, dice);
    script.is_reliable = dice.chance(40);
    script.lost_pracks = u8::from(dice.chance(20));
    if script.is_reliable && dice.chance(40) {
        let wanted = [
            Wanted::Move,
            Wanted::Codecs(Codecs::A),
            Wanted::Codecs(Codecs::U),
            Wanted::Hold(*dice.pick(&HOLDS)),
            Wanted::Nothing,
        ];
        script.early_offer = Some(*dice.pick(&wanted));
    }
    script
}

/// Who does something in its own way.
fn habits(calls: &mut [PlannedCall], dice: &mut Dice) {
    let mut habit = || dice.chance(12).then(|| *dice.pick(&HABITS));
    for call in calls {
        call.dial.habit = habit();
        let others = call.scripts.iter_mut().chain(&mut call.targets);
        for (_, script) in others.chain(&mut call.moved) {
            script.habit = habit();
        }
    }
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn planned(call: usize, dice: &mut Dice) -> PlannedCall {
    let tenant = dice.below(2);
    let is_from_teams = dice.chance(50);
    let (caller, callees): (ActorIndex, Vec<ActorIndex>) = match (is_from_teams, tenant) {
        (true, 0) => (
            *dice.pick(&[TEAMS_1, TEAMS_2, TEAMS_3]),
            vec![NORTH_1, NORTH_2],
        ),
        (true, _) => (
            *dice.pick(&[TEAMS_1, TEAMS_2, TEAMS_3]),
            vec![SOUTH, NORTH_1, NORTH_2],
        ),
        (false, 0) => (
            *dice.pick(&[NORTH_1, NORTH_2]),
            vec![TEAMS_1, TEAMS_2, TEAMS_3],
        ),
        (false, _) => (
            *dice.pick(&[NORTH_1, NORTH_2, SOUTH]),
            vec![TEAMS_1, TEAMS_2, TEAMS_3],
        ),
    };
    let mut plan = PlannedCall::between(call, tenant, caller, callees[0]);
    plan.at = dice.between(ms(100), Duration::from_secs(18));
    plan.scripts = callees
        .iter()
        .map(|callee| (*callee, script(call, *callee, dice)))
        .collect();
    let dial = &mut plan.dial;
    dial.hang_up = dice
        .chance(70)
        .then(|| dice.between(ms(0), Duration::from_secs(8)));
    let is_teams = topology::peer(caller).protocol == Protocol::Tls;
    dial.changes = changes(is_teams, dice);
    dial.reactions = reactions(dice);
    if dice.chance(30) {
        dial.cancel = Some(match dice.below(4) {
            0 => Cancel::After(dice.between(ms(0), ms(300))),
            1 => Cancel::After(dice.between(ms(0), Duration::from_secs(6))),
            2 => Cancel::AfterStatus(180, dice.between(ms(0), ms(200))),
            _ => Cancel::AfterStatus(100, dice.between(ms(0), ms(200))),
        });
    }
    dial.ack = match dice.below(20) {
        0 => Ack::Never,
        1 | 2 => Ack::Late(dice.between(ms(10), Duration::from_secs(5))),
        _ => Ack::Prompt,
    };
    dial.max_forwards = match dice.below(30) {
        0 => None,
        1 => Some(0),
        2 => Some(1),
        _ => Some(70),
    };
    // Teams takes no late offer and sends none (TDR-SIP-004).
    dial.late_offer = !is_teams && dice.chance(12);
    dial.expires = dice.chance(8).then(|| 1 + dice.below(40) as u32);
    if dice.chance(12) {
        dial.oddity = Some(match dice.below(6) {
            0 => Oddity::Merged,
            1 => Oddity::StaleBye,
            2 => Oddity::ForgedBye,
            3 if topology::peer(caller).protocol == Protocol::Udp => Oddity::Replay,
            4 => Oddity::UnknownMethod,
            _ => Oddity::UnknownRequire,
        });
    }
    // Both change at the same moment, or nearly.
    if let Some(first) = plan.dial.changes.first().map(|change| change.after)
        && dice.chance(40)
    {
        for (_, script) in &mut plan.scripts {
            if let Some(change) = script.changes.first_mut() {
                change.after = first + dice.between(ms(0), ms(300));
            }
        }
    }
    plan
}

/// What a party changes within the call.
fn changes(is_teams: bool, dice: &mut Dice) -> Vec<Change> {
    if !dice.chance(25) {
        return Vec::new();
    }
    let mut after = dice.between(ms(50), Duration::from_secs(3));
    (0..=dice.below(4))
        .map(|_| {
            let wanted = match dice.below(10) {
                0..=3 => Wanted::Hold(*dice.pick(&HOLDS)),
                4..=6 => Wanted::Resume,
                7 => Wanted::Move,
                8 => Wanted::Codecs(*dice.pick(&[Codecs::Both, Codecs::A, Codecs::U])),
                _ => Wanted::Nothing,
            };
            let change = Change::new(after, wanted);
            after += dice.between(ms(0), Duration::from_secs(4));
            match !is_teams && dice.chance(30) {
                true => change.by_update(),
                false => change,
            }
        })
        .collect()
}

/// What a party does with re-INVITEs of ours.
fn reactions(dice: &mut Dice) -> Vec<Reaction> {
    if !dice.chance(15) {
        return Vec::new();
    }
    (0..=dice.below(3))
        .map(|_| match dice.below(9) {
            0 | 1 => Reaction::Accept,
            2 => Reaction::Refuse(491),
            3 => Reaction::Refuse(488),
            4 => Reaction::Refuse(*dice.pick(&[481, 408, 403, 500, 503, 603])),
            5 => Reaction::Busy(dice.below(4) as u8),
            6 => Reaction::Silence,
            7 => Reaction::Late(dice.between(ms(50), Duration::from_secs(14))),
            _ => Reaction::ProgressOnly,
        })
        .collect()
}

fn script(call: usize, callee: ActorIndex, dice: &mut Dice) -> Script {
    let mut acts = Vec::new();
    let mut at = dice.between(ms(0), ms(30));
    if dice.chance(85) {
        acts.push((at, Act::Trying));
    }
    let forks = if dice.chance(15) {
        2 + dice.below(2) as u8
    } else {
        1
    };
    for _ in 0..dice.below(4) {
        at += dice.between(ms(0), ms(1_500));
        let status = *dice.pick(&[180, 180, 183, 183, 181, 182, 199, 155]);
        let fork = dice.below(usize::from(forks)) as u8;
        let sdp = status == 183 || (status == 180 && dice.chance(20));
        acts.push((at, Act::Progress { status, fork, sdp }));
    }
    at += dice.between(ms(0), Duration::from_secs(4));
    let fork = dice.below(usize::from(forks)) as u8;
    match dice.below(20) {
        // It never answers; half of the time it does not even say that it is there.
        0 => {
            if dice.chance(50) {
                acts.clear();
            }
        }
        1..=5 => {
            let status = *dice.pick(&[
                300, 302, 400, 401, 403, 404, 407, 408, 410, 480, 481, 484, 486, 487, 488, 500,
                501, 502, 503, 504, 513, 580, 600, 603, 604, 606, 499, 699,
            ]);
            acts.push((at, Act::Refuse(status)));
        }
        6 => {
            acts.push((at, Act::Answer { fork }));
            let later = at + dice.between(ms(0), ms(900));
            acts.push((later, Act::Answer { fork: fork + 1 }));
        }
        _ => acts.push((at, Act::Answer { fork })),
    }
    let mut script = Script::acting(call, acts);
    script.hang_up = dice
        .chance(40)
        .then(|| dice.between(ms(0), Duration::from_secs(8)));
    let is_teams = topology::peer(callee).protocol == Protocol::Tls;
    script.changes = changes(is_teams, dice);
    script.reactions = reactions(dice);
    script.answers_on_cancel = dice.chance(15);
    if dice.chance(8) {
        script.oddity = Some(*dice.pick(&[
            Oddity::TwoFinals,
            Oddity::WrongCSeq,
            Oddity::DeafToBye,
            Oddity::LateProvisional,
        ]));
    }
    script
}

fn fault(dice: &mut Dice) -> Fault {
    let udp = *dice.pick(&[NORTH_1, NORTH_2]);
    let stream = *dice.pick(&[TEAMS_1, TEAMS_2, TEAMS_3, SOUTH]);
    let any = dice.below(STRANGER);
    let percent = 1 + dice.below(30) as u8;
    let from = dice.between(ms(0), Duration::from_secs(25));
    let length = dice.between(ms(10), Duration::from_secs(12));
    let (until, trouble) = match dice.below(12) {
        0 | 1 => (
            CALM,
            Trouble::Loss {
                actor: udp,
                percent,
            },
        ),
        2 => (CALM, Trouble::LoseFirst { actor: udp }),
        3 => (
            CALM,
            Trouble::Duplication {
                actor: udp,
                percent: 3 * percent,
            },
        ),
        4 => (
            CALM,
            Trouble::Reordering {
                actor: udp,
                percent,
            },
        ),
        5 => (from + length, Trouble::Partition { actor: any }),
        6 | 7 => (from + length, Trouble::Reset { actor: stream }),
        8 => (from + length, Trouble::Refuse { actor: stream }),
        9 => {
            let fault = *dice.pick(&[
                ResolveFault::NotFound,
                ResolveFault::Timeout,
                ResolveFault::ServerFailure,
            ]);
            (from + length, Trouble::Unresolved { fault })
        }
        10 => {
            let by = dice.between(ms(10), Duration::from_secs(5));
            (from + length, Trouble::SlowResolver { by })
        }
        _ => (from + length, Trouble::NoPorts),
    };
    Fault {
        from,
        until,
        trouble,
    }
}

fn extra(dice: &mut Dice) -> Extra {
    let at = dice.between(ms(0), Duration::from_secs(30));
    let what = match dice.below(10) {
        0 => Happening::HangUpAll,
        // Soon after the answer, for a while, and for an hour.
        1 => Happening::Silence(*dice.pick(&[1, 1, 2, 120])),
        2 | 3 => Happening::Reload,
        4..=6 => {
            let actor = *dice.pick(&[NORTH_1, NORTH_2, STRANGER]);
            Happening::Bytes(actor, garbage(actor, dice))
        }
        _ => Happening::Bytes(STRANGER, stray_request(STRANGER, dice)),
    };
    Extra { at, what }
}

/// Bytes that are no message, or nearly one.
fn garbage(actor: ActorIndex, dice: &mut Dice) -> Vec<u8> {
    match dice.below(5) {
        0 => b"GET / HTTP/1.1\r\nHost: sbc\r\n\r\n".to_vec(),
        1 => (0..dice.below(200)).map(|_| dice.number() as u8).collect(),
        2 => b"INVITE sip:x@y SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\n".to_vec(),
        3 => format!(
            "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP {};branch=z9hG4bK{}\r\nFrom: <sip:a@b>;tag=1\r\n\
             To: <sip:c@d>;tag=2\r\nCall-ID: {}\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n",
            topology::listener_address(Protocol::Udp),
            dice.word(20),
            dice.word(10)
        )
        .into_bytes(),
        _ => {
            let mut request = stray_request(actor, dice);
            for _ in 0..4 {
                let at = dice.below(request.len());
                request[at] = dice.number() as u8;
            }
            request
        }
    }
}

/// A well-formed request of somebody who belongs to no call here.
fn stray_request(actor: ActorIndex, dice: &mut Dice) -> Vec<u8> {
    let method = *dice.pick(&[
        "INVITE", "OPTIONS", "REGISTER", "BYE", "CANCEL", "ACK", "MESSAGE",
    ]);
    let sbc = topology::listener_address(Protocol::Udp);
    let peer = topology::peer(actor).address;
    format!(
        "{method} sip:+390000@{sbc} SIP/2.0\r\nVia: SIP/2.0/UDP {peer};rport;branch=z9hG4bK{}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:scanner@elsewhere.example>;tag={}\r\nTo: <sip:+390000@{sbc}>\r\n\
         Call-ID: {}\r\nCSeq: 1 {method}\r\nContact: <sip:scanner@{peer}>\r\n\
         User-Agent: friendly-scanner\r\nContent-Length: 0\r\n\r\n",
        dice.word(12),
        dice.word(8),
        dice.word(16)
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_always_gives_the_same_scenario_and_seeds_differ() {
        assert_eq!(generate(42), generate(42));
        assert_ne!(generate(42), generate(43));
    }

    #[test]
    fn faults_end_before_the_parties_are_inspected() {
        for seed in 0..200 {
            assert!(
                generate(seed)
                    .faults
                    .iter()
                    .all(|f| f.until <= CALM && f.from <= f.until)
            );
        }
    }
}
