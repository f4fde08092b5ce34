//! What Teams says in the sub-codes of its refusals, made for real: each in words, with what to look at.

use super::over;
use crate::world;
use sbc_core::record::Record;
use sbc_core::report::{explain, sub_code_in_words};
use world::*;

/// Teams refuses a call with this sub-code, as it writes it.
fn refused(code: u32) -> Record {
    let (mut shard, invite) = called_out("call");
    let reason =
        format!("Reason: Q.850;cause=31;text=\"0b2f3c4d-1111-2222-3333-444455556666;{code}\"\n");
    let text = response(&invite.message, "403 Forbidden", "x1", &reason, "");
    shard.teams_says(&text);
    over(shard)
}

/// Every sub-code that is published.
const PUBLISHED: [u32; 33] = [
    1_106, 10_037, 10_140, 10_191, 10_199, 10_202, 10_320, 10_321, 10_500, 10_553, 500_001,
    510_412, 510_482, 510_532, 510_534, 510_544, 510_559, 510_560, 510_562, 510_563, 511_404,
    531_000, 531_004, 531_005, 531_027, 540_000, 540_200, 540_487, 549_002, 569_002, 569_003,
    569_008, 569_009,
];

#[test]
fn every_sub_code_of_teams_is_told_in_words_and_with_what_to_look_at() {
    for code in PUBLISHED {
        let told = explain(&refused(code));
        let (means, look_at) = sub_code_in_words(code).expect("it is published");
        let all = told.to_string();
        assert!(told.place.contains("trunk \"teams-contoso\""), "{told}");
        assert!(
            told.why.contains(&format!("Microsoft {code}: {means}")),
            "{told}"
        );
        match look_at {
            "" => assert!(!told.change[0].starts_with("Microsoft"), "{all}"),
            _ => assert_eq!(told.change[0], format!("Microsoft {code}: {look_at}")),
        }
    }
}

/// The list above is that of the program: no number between has a meaning that is not shown.
#[test]
fn no_sub_code_is_left_out() {
    let known = (1_000..600_000).filter(|code| {
        let words = sub_code_in_words(*code);
        words.is_some_and(|(means, _)| !means.starts_with("Teams repeats"))
    });
    assert_eq!(known.collect::<Vec<u32>>(), PUBLISHED);
}
