//! Which row of Microsoft belongs to which call of ours (TDG-CDR-004).
//!
//! No identifier is promised to be the same. Where the GUID by which Teams named a call in a Reason is the
//! correlation id of a row, they belong together. Else trunk, way, numbers and time must agree, and as clocks
//! differ, the difference that most of them have in common tells those apart that could be either.

use super::number::{Likeness, compare};
use super::own::{OwnCall, Visit};
use crate::graph::row::{Row, Way};
use sbc_core::time::UnixTime;
use std::collections::{BTreeMap, BTreeSet};

/// How far the clocks of Microsoft and this host may be apart, microseconds.
pub const TOLERANCE_US: i64 = 3_000_000;
/// Most visits that are kept for a row, those of the likeliest time.
const MOST_CANDIDATES: usize = 16;
/// Steps in which differences of clocks are counted, and how many of them count as the same.
const STEP_US: i64 = 10_000;
const WINDOW: i64 = 5;

/// What belongs together, as positions in the lists.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Pairing {
    /// Each call with the rows that are of it, the one that it was found by first.
    pub matched: BTreeMap<usize, Vec<usize>>,
    /// Rows that no call of ours belongs to.
    pub only_microsoft: Vec<usize>,
    /// Calls that no row belongs to.
    pub only_ours: Vec<usize>,
    /// Microsoft's clock less ours, as most pairs have it, in microseconds.
    pub clock_us: Option<i64>,
}

/// A visit, by the positions of its call and within that.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Spot {
    call: usize,
    visit: usize,
}

/// A row and a visit that may belong together.
#[derive(Clone, Copy)]
struct Candidate {
    row: usize,
    spot: Spot,
    /// Microsoft's time less ours.
    apart_us: i64,
    /// Whether both numbers are seen to be the same.
    is_sure: bool,
    /// Whether the time of the visit is known.
    is_exact: bool,
}

/// Finds out what belongs together.
pub fn pair(rows: &[Row], calls: &[OwnCall]) -> Pairing {
    let mut found = Pairing::default();
    let mut taken_rows = BTreeSet::new();
    let mut taken_visits = BTreeSet::new();
    let mut take = |row: usize, spot: Spot| {
        if taken_rows.contains(&row) || taken_visits.contains(&spot) {
            return false;
        }
        taken_rows.insert(row);
        taken_visits.insert(spot);
        found.matched.entry(spot.call).or_default().push(row);
        true
    };
    let places = Places::of(calls);
    let common = places.common_difference(rows);
    let order = |one: &Candidate| {
        let off = (one.apart_us - common.unwrap_or(0)).abs();
        (!one.is_sure, off, one.row, one.spot)
    };
    let mut candidates = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        let mut likely: Vec<Candidate> = places.likely(index, row).collect();
        likely.sort_by_key(order);
        candidates.extend(likely.into_iter().take(MOST_CANDIDATES));
    }
    candidates.sort_by_key(order);
    for (row, spot) in named_alike(rows, calls, &candidates) {
        take(row, spot);
    }
    let mut is_used = false;
    for one in &candidates {
        is_used |= take(one.row, one.spot);
    }
    found.clock_us = common.filter(|_| is_used);
    // Legs of one call share their name: what a transfer or a second try left.
    let mut of_call = BTreeMap::new();
    for (call, own) in &found.matched {
        for row in own {
            if let Some(id) = &rows[*row].correlation_id {
                of_call.insert(id.as_str(), *call);
            }
        }
    }
    for (index, row) in rows.iter().enumerate() {
        if taken_rows.contains(&index) {
            continue;
        }
        let call = row.correlation_id.as_deref();
        match call.and_then(|id| of_call.get(id)) {
            Some(call) => found.matched.entry(*call).or_default().push(index),
            None => found.only_microsoft.push(index),
        }
    }
    let without = (0..calls.len()).filter(|call| !found.matched.contains_key(call));
    found.only_ours = without.collect();
    found
}

/// Rows whose correlation id is the name that Teams gave a call, each with its most likely visit.
fn named_alike(rows: &[Row], calls: &[OwnCall], candidates: &[Candidate]) -> Vec<(usize, Spot)> {
    let mut named: BTreeMap<&str, Vec<Spot>> = BTreeMap::new();
    for (spot, visit) in visits(calls) {
        for guid in &visit.guids {
            named.entry(guid).or_default().push(spot);
        }
    }
    let likely: BTreeSet<(usize, Spot)> =
        candidates.iter().map(|one| (one.row, one.spot)).collect();
    let mut found = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        let spots = row.correlation_id.as_deref().and_then(|id| named.get(id));
        let mut spots: Vec<Spot> = spots
            .into_iter()
            .flatten()
            .filter(|spot| visit(calls, **spot).trunk == row.trunk)
            .copied()
            .collect();
        spots.sort_by_key(|spot| !likely.contains(&(index, *spot)));
        found.extend(spots.into_iter().map(|spot| (index, spot)));
    }
    found
}

fn visit(calls: &[OwnCall], spot: Spot) -> &Visit {
    &calls[spot.call].visits[spot.visit]
}

fn visits(calls: &[OwnCall]) -> impl Iterator<Item = (Spot, &Visit)> {
    calls.iter().enumerate().flat_map(|(call, own)| {
        let visits = own.visits.iter().enumerate();
        visits.map(move |(visit, own)| (Spot { call, visit }, own))
    })
}

/// Visits by trunk, in the order of their earliest time; those that may have been later apart.
struct Places<'c> {
    calls: &'c [OwnCall],
    at_once: BTreeMap<&'c str, Vec<Place>>,
    later: BTreeMap<&'c str, Vec<Place>>,
}

/// A visit and its earliest time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Place {
    begins: i64,
    spot: Spot,
}

impl<'c> Places<'c> {
    fn of(calls: &'c [OwnCall]) -> Self {
        let (mut at_once, mut later) = (BTreeMap::new(), BTreeMap::new());
        for (spot, visit) in visits(calls) {
            let all = match visit.between.0 == visit.between.1 {
                true => &mut at_once,
                false => &mut later,
            };
            let own: &mut Vec<Place> = all.entry(visit.trunk.as_str()).or_default();
            own.push(Place {
                begins: us(visit.between.0),
                spot,
            });
        }
        for own in at_once.values_mut().chain(later.values_mut()) {
            own.sort_unstable();
        }
        Self {
            calls,
            at_once,
            later,
        }
    }

    /// What may belong to a row by trunk, way, numbers and time.
    fn likely(&self, index: usize, row: &Row) -> impl Iterator<Item = Candidate> {
        let (first, last) = (us(row.invite) - TOLERANCE_US, us(row.invite) + TOLERANCE_US);
        let near = self.at_once.get(row.trunk.as_str()).map(Vec::as_slice);
        let near = near.unwrap_or_default();
        let near = &near[near.partition_point(|one| one.begins < first)..];
        let later = self.later.get(row.trunk.as_str()).map(Vec::as_slice);
        let later = later.unwrap_or_default();
        let has_begun = move |one: &&Place| one.begins <= last;
        let near = near.iter().take_while(has_begun).map(|one| (one, true));
        let later = later.iter().take_while(has_begun).map(|one| (one, false));
        near.chain(later).filter_map(move |(place, is_exact)| {
            let own = visit(self.calls, place.spot);
            Some(Candidate {
                row: index,
                spot: place.spot,
                is_sure: may_be(row, own)?,
                is_exact,
                apart_us: apart(row, own),
            })
        })
    }

    /// The difference that most of what may belong together has in common: that of what does, whoever else is
    /// near.
    fn common_difference(&self, rows: &[Row]) -> Option<i64> {
        // Number and sum of the differences of each step.
        let mut steps: BTreeMap<i64, (i64, i64)> = BTreeMap::new();
        for (index, row) in rows.iter().enumerate() {
            for one in self.likely(index, row).filter(|one| one.is_exact) {
                let step = steps.entry(one.apart_us.div_euclid(STEP_US)).or_default();
                *step = (step.0 + 1, step.1 + one.apart_us);
            }
        }
        let windows = steps.keys().map(|first| {
            let window = steps.range(*first..first + WINDOW).map(|(_, step)| *step);
            let (count, sum) = window.fold((0, 0), |all, step| (all.0 + step.0, all.1 + step.1));
            (count, sum / count)
        });
        windows
            .max_by_key(|(count, middle)| (*count, -middle.abs()))
            .map(|(_, middle)| middle)
    }
}

/// Whether a row may be of a visit; if so, whether both numbers are seen to be the same.
fn may_be(row: &Row, visit: &Visit) -> Option<bool> {
    let is_way = match row.way() {
        Some(Way::In) => !visit.is_from_teams,
        Some(Way::Out) => visit.is_from_teams,
        None => true,
    };
    if !is_way || apart(row, visit).abs() > TOLERANCE_US {
        return None;
    }
    let calling = compare(&row.caller, visit.calling.iter().map(String::as_str));
    let called = compare(&row.callee, visit.called.iter().map(String::as_str));
    let keeps_none = visit.calling.is_empty() && visit.called.is_empty();
    match (calling, called) {
        (Likeness::Other, _) | (_, Likeness::Other) => None,
        // Where records have no numbers, trunk, way and time are all that can agree.
        (Likeness::Silent, Likeness::Silent) => keeps_none.then_some(false),
        (calling, called) => Some(calling == called),
    }
}

/// Microsoft's time less ours; nothing within the time in which a visit may have begun.
fn apart(row: &Row, visit: &Visit) -> i64 {
    let (at, first, last) = (us(row.invite), us(visit.between.0), us(visit.between.1));
    at - at.clamp(first, last)
}

fn us(at: UnixTime) -> i64 {
    i64::try_from(at.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::time::Duration;

    const TRUNK: &str = "sbc1.contoso.example";

    fn at(ms: u64) -> UnixTime {
        UnixTime::of_day("2026-08-01").unwrap() + Duration::from_millis(36_000_000 + ms)
    }

    fn call(ms: u64, calling: &str, called: &str) -> OwnCall {
        let visit = Visit {
            trunk: TRUNK.to_owned(),
            is_from_teams: false,
            between: (at(ms), at(ms)),
            calling: vec![calling.to_owned()],
            called: vec![called.to_owned()],
            guids: BTreeSet::new(),
            status: Some(200),
        };
        OwnCall {
            call: ms.to_string(),
            start: at(ms),
            start_text: at(ms).rfc3339(),
            calling: calling.to_owned(),
            called: called.to_owned(),
            disposition: "answered".to_owned(),
            talked_s: 0,
            cause: "normal_clearing".to_owned(),
            by: "a".to_owned(),
            because: Vec::new(),
            visits: vec![visit],
        }
    }

    fn row(ms: u64, caller: &str, callee: &str) -> Row {
        Row::read(&json!({
            "id": format!("{ms}-{caller}-{callee}"), "inviteDateTime": at(ms).rfc3339(),
            "callType": "ByotIn", "successfulCall": true, "callerNumber": caller,
            "calleeNumber": callee, "trunkFullyQualifiedDomainName": TRUNK,
        }))
        .unwrap()
    }

    /// Row by call.
    fn pairs(found: &Pairing) -> Vec<(usize, usize)> {
        let all = found.matched.iter();
        all.flat_map(|(call, rows)| rows.iter().map(|row| (*call, *row)))
            .collect()
    }

    /// TDG-CDR-004: ten calls, a second apart, from numbers that look alike behind their stars, and a clock that
    /// is a second ahead: each row is nearest to the wrong call.
    #[test]
    fn ten_of_ten_are_matched_although_a_clock_is_off_and_numbers_are_masked() {
        let number = |index: u64| format!("+4416329600{index:02}");
        let calls: Vec<OwnCall> = (0..10)
            .map(|index| call(index * 1_000, &number(index), "+441632960100"))
            .collect();
        let rows: Vec<Row> = (0..10)
            .map(|index| row(index * 1_000 + 1_000, "+441632960***", "+4416329601**"))
            .collect();
        let found = pair(&rows, &calls);
        let wanted: Vec<(usize, usize)> = (0..10).map(|index| (index, index)).collect();
        assert_eq!(pairs(&found), wanted);
        assert_eq!(found.clock_us, Some(1_000_000));
        assert!(found.only_ours.is_empty() && found.only_microsoft.is_empty());
    }

    #[test]
    fn what_differs_in_trunk_way_number_or_time_does_not_belong_together() {
        let calls = [call(0, "+441632960001", "+441632960100")];
        let good = row(0, "+441632960001", "+441632960100");
        assert_eq!(pairs(&pair(std::slice::from_ref(&good), &calls)), [(0, 0)]);
        let others = [
            Row {
                trunk: "sbc2.contoso.example".to_owned(),
                ..good.clone()
            },
            Row {
                call_type: "ByotOut".to_owned(),
                ..good.clone()
            },
            Row {
                callee: "+441632960101".to_owned(),
                ..good.clone()
            },
            Row {
                caller: String::new(),
                callee: "anonymous".to_owned(),
                ..good.clone()
            },
            Row {
                invite: at(3_001),
                ..good.clone()
            },
        ];
        for other in others {
            let found = pair(std::slice::from_ref(&other), &calls);
            assert_eq!(pairs(&found), [], "{other:?}");
            assert_eq!(
                (&found.only_ours[..], &found.only_microsoft[..]),
                (&[0][..], &[0][..])
            );
        }
        // Of a kind that nobody knows, either way is possible.
        let unknown = Row {
            call_type: "ByotQuantum".to_owned(),
            ..good
        };
        assert_eq!(pairs(&pair(&[unknown], &calls)), [(0, 0)]);
    }

    #[test]
    fn a_record_without_numbers_is_found_by_its_time_after_those_that_have_some() {
        let mut calls = [
            call(0, "", ""),
            call(10, "+441632960001", "+441632960100"),
            call(5_000, "", ""),
        ];
        for own in [0, 2] {
            calls[own].visits[0].calling.clear();
            calls[own].visits[0].called.clear();
        }
        let rows = [
            row(0, "+441632960001", "+441632960100"),
            row(5_000, "+441632960002", "+441632960100"),
            row(9_000, "+441632960003", "+441632960100"),
        ];
        let found = pair(&rows, &calls);
        assert_eq!(pairs(&found), [(1, 0), (2, 1)]);
        assert_eq!(found.only_ours, [0]);
        assert_eq!(found.only_microsoft, [2]);
    }

    #[test]
    fn a_name_that_teams_gave_wins_over_the_nearest_time() {
        let mut calls = [
            call(0, "+441632960001", "+441632960100"),
            call(1_000, "+441632960001", "+441632960100"),
        ];
        let guid = "c98e1515-a937-4b81-b8a8-3992afde64e0";
        calls[0].visits[0].guids.insert(guid.to_owned());
        let named = Row {
            correlation_id: Some(guid.to_owned()),
            ..row(1_000, "+441632960001", "+441632960100")
        };
        assert_eq!(pairs(&pair(std::slice::from_ref(&named), &calls)), [(0, 0)]);
        // However late, and whatever the numbers.
        let late = Row {
            invite: at(90_000),
            caller: "+4930999".to_owned(),
            ..named
        };
        assert_eq!(pairs(&pair(&[late], &calls)), [(0, 0)]);
    }

    #[test]
    fn further_legs_of_a_call_are_of_it_and_a_later_try_may_be_late() {
        let calls = [call(0, "+441632960001", "+441632960100")];
        let with = |ms, callee, id: &str| Row {
            correlation_id: Some(id.to_owned()),
            ..row(ms, "+441632960001", callee)
        };
        let rows = [
            with(100, "+441632960100", "one"),
            with(20_000, "+441632960199", "one"),
            with(20_000, "+441632960199", "two"),
        ];
        let found = pair(&rows, &calls);
        assert_eq!(pairs(&found), [(0, 0), (0, 1)]);
        assert_eq!(found.only_microsoft, [2]);

        let mut second = call(0, "+441632960001", "+441632960100");
        second.visits[0].between.1 = at(60_000);
        let late = row(45_000, "+441632960001", "+441632960100");
        assert_eq!(pairs(&pair(&[late], &[second])), [(0, 0)]);
    }

    /// Five calls a second from withheld numbers to one number: the nearest in time is another one.
    #[test]
    fn calls_that_nothing_but_time_tells_apart_are_matched_by_what_clocks_differ() {
        let mut dice = 1_u64;
        let mut next = |most: u64| {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (dice >> 33) % most
        };
        let mut at = 0;
        let (mut calls, mut rows) = (Vec::new(), Vec::new());
        for _ in 0..300 {
            at += next(400);
            calls.push(call(at, "anonymous", "+441632960100"));
            rows.push(row(at + 700 + next(20), "", "+441632960100"));
        }
        let found = pair(&rows, &calls);
        let right = pairs(&found).into_iter().filter(|(call, row)| call == row);
        let right = right.count();
        assert!(right > 285, "{right} of 300");
        let clock = found.clock_us.unwrap();
        assert!((690_000..730_000).contains(&clock), "{clock}");
    }
}
