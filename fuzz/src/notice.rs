//! What comes to the address of notices, where anybody can send anything: the query of a request, its body, and what
//! is sealed in it.

use causeway_notice::{
    Batch, Key, LONGEST_PROOF, MOST_NOTICES, MOST_TOKENS, Presence, Unsealed, What, proof,
};
use std::sync::LazyLock;

/// Nobody else has it: nothing that is found can be opened.
static KEY: LazyLock<Key> = LazyLock::new(|| Key::new("k", 2026).expect("a key"));

pub(crate) fn check(data: &[u8]) {
    if let Ok(query) = std::str::from_utf8(data) {
        echoed(query);
    }
    if let Some(presence) = Presence::read(data) {
        let texts = [&presence.user, &presence.availability, &presence.activity];
        assert!(texts.iter().all(|text| text.len() <= 64), "{presence:?}");
        assert_eq!(presence.user, presence.user.to_ascii_lowercase());
    }
    let Ok(batch) = Batch::read(data) else {
        return;
    };
    assert_eq!(Batch::read(data).as_ref(), Ok(&batch), "the same again");
    assert!((1..=MOST_NOTICES).contains(&batch.notices.len()));
    assert!(batch.tokens.len() <= MOST_TOKENS);
    // An escape may be shorter than what it stands for, but not in octets of JSON.
    let mut kept: usize = batch.tokens.iter().map(String::len).sum();
    for notice in &batch.notices {
        kept += notice.subscription.len() + notice.client_state.len() + notice.tenant.len();
        match &notice.what {
            What::Changed(user) => kept += user.len(),
            What::Sealed(sealed) => {
                kept += sealed.certificate().len();
                let why = KEY.open(sealed).expect_err("nobody has sealed it");
                assert_eq!(why == Unsealed::OtherKey, sealed.certificate() != KEY.id());
            }
            What::Event(_) => {}
        }
    }
    assert!(kept <= data.len(), "{kept} octets of {}", data.len());
}

/// What is given back is no markup, and no longer than what came.
fn echoed(query: &str) {
    assert_eq!(proof(None), None);
    if let Some(Some(text)) = proof(Some(query)) {
        assert!(!text.is_empty() && text.len() <= query.len().min(LONGEST_PROOF));
        let is_plain = |letter: char| !letter.is_control() && letter != '<' && letter != '>';
        assert!(text.chars().all(is_plain), "{text:?}");
    }
}
