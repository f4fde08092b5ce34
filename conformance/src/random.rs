//! Random words for tags, branches, keys and names.

/// Random bytes from the operating system.
pub(crate) fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // The one source of randomness of the process; without it there is no TLS either.
    getrandom::fill(&mut bytes).expect("the operating system has no random numbers");
    bytes
}

/// A word of `2 * N` hexadecimal digits.
pub(crate) fn word<const N: usize>() -> String {
    bytes::<N>().iter().map(|b| format!("{b:02x}")).collect()
}

/// A GUID, by which Microsoft names a call.
pub(crate) fn guid() -> String {
    let digits = word::<16>();
    let lengths = [8, 4, 4, 4, 12];
    let mut rest = digits.as_str();
    let parts = lengths.map(|length| {
        let (part, more) = rest.split_at(length);
        rest = more;
        part
    });
    parts.join("-")
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_guid_has_five_parts() {
        let guid = super::guid();
        let lengths: Vec<usize> = guid.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12]);
    }

    #[test]
    fn words_differ_and_have_the_length_asked_for() {
        let (a, b) = (super::word::<8>(), super::word::<8>());
        assert_eq!((a.len(), b.len()), (16, 16));
        assert_ne!(a, b);
    }
}
