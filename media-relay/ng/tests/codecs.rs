//! Codecs and packet times that a proxy wants other than a party wrote them: what goes out, and what the relay is told.

mod support;

use media_api::{NegotiatedStream, OpusPackets, OpusWishes};
use serde_json::{Value, json};
use support::Site;

/// A description of audio in these payload types, with the usual lines of those that are dynamic.
fn described(formats: &str) -> String {
    let known = [
        ("96", "opus/48000/2"),
        ("97", "AMR/8000"),
        ("98", "AMR/8000"),
        ("101", "telephone-event/8000"),
        ("102", "telephone-event/48000"),
        ("111", "opus/48000/2"),
        ("120", "telephone-event/8000"),
    ];
    let mut sdp = format!("v=0\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nm=audio 4000 RTP/AVP {formats}\r\n");
    for format in formats.split(' ') {
        for (number, codec) in known.iter().filter(|(number, _)| *number == format) {
            sdp += &format!("a=rtpmap:{number} {codec}\r\na=fmtp:{number} own={number}\r\n");
        }
    }
    sdp + "a=ptime:20\r\na=maxptime:30\r\n"
}

fn sdp(answer: &Value) -> String {
    assert_eq!(answer["result"], "ok", "{answer}");
    answer["sdp"].as_str().expect("a description").to_owned()
}

/// The formats of a description.
fn formats(sdp: &str) -> &str {
    let line = sdp.lines().find_map(|line| line.strip_prefix("m=audio "));
    let mut words = line.expect("a line").splitn(3, ' ');
    words.nth(2).expect("formats")
}

fn flags(words: &[&str]) -> Value {
    json!({ "flags": words })
}

/// Numbers of a party: that it sends, and that it is sent.
fn numbers(stream: &NegotiatedStream) -> Vec<(u8, u8)> {
    let both = stream.payloads.iter();
    both.map(|own| (own.receive, own.send)).collect()
}

#[test]
fn an_offer_goes_on_with_the_codecs_that_are_wanted() {
    for (offered, wishes, wanted) in [
        // What is stripped is not there; names are of any case, and numbers are names, too.
        ("8 0 9 101", &["codec-strip-PCMU"][..], "8 9 101"),
        ("8 0 9 101", &["codec-strip-pcmu", "codec-strip-9"], "8 101"),
        ("8 0 9 101", &["codec-strip-G729"], "8 0 9 101"),
        ("8 0 101", &["codec-strip-telephone-event"], "8 0"),
        // A form is one channel unless it says two.
        ("96 8", &["codec-strip-opus/48000"], "96 8"),
        ("96 8", &["codec-strip-opus/48000/2"], "8"),
        ("97 98 8", &["codec-strip-AMR"], "8"),
        // Of all but some, in the order of the offer, or of the wishes.
        (
            "8 0 9 101",
            &["codec-strip-all", "codec-except-G722", "codec-except-PCMA"],
            "8 9",
        ),
        (
            "8 0 9 101",
            &["codec-strip-all", "codec-offer-G722", "codec-offer-PCMA"],
            "9 8",
        ),
        (
            "8 0 101",
            &[
                "codec-strip-all",
                "codec-offer-telephone-event",
                "codec-offer-PCMU",
            ],
            "0 101",
        ),
        ("8 0", &["codec-strip-full", "codec-except-PCMU"], "0"),
        // What is named is taken out whatever is excepted.
        ("8 0", &["codec-strip-PCMU", "codec-except-PCMU"], "8"),
        // Who would leave nothing leaves all.
        ("8 0", &["codec-strip-all"], "8 0"),
        ("8 0", &["codec-mask-PCMA", "codec-consume-PCMU"], "8 0"),
        ("8 0", &["codec-offer-PCMU"], "8 0"),
        (
            "8 0",
            &["codec-except-PCMU", "codec-accept-all", "always-transcode"],
            "8 0",
        ),
        ("8 0", &["codec-set-opus/48000/2/16000"], "8 0"),
        // What is there is not made anew, and what is masked comes back as it was.
        ("8 0", &["codec-transcode-PCMU"], "8 0"),
        (
            "8 0 101",
            &[
                "codec-mask-all",
                "codec-transcode-PCMU",
                "codec-offer-telephone-event",
            ],
            "0 101",
        ),
        ("8 97", &["codec-transcode-AMR"], "8 97"),
        // What is not there is made, in front of what goes along with it, under a number that nobody has.
        (
            "8 101",
            &["transcode-PCMU", "codec-transcode-G722"],
            "8 0 9 101",
        ),
        ("96 8", &["codec-mask-opus", "codec-transcode-PCMU"], "8 0"),
        ("8 0", &["codec-transcode-opus"], "8 0 96"),
        (
            "8 96 98",
            &["codec-mask-opus", "codec-transcode-OPUS/48000/2/24000//x=y"],
            "8 98 96",
        ),
        ("97 8", &["codec-transcode-opus"], "97 8 96"),
        // What comes back stands in front of what was added: who answers sends what is first.
        (
            "8 0 101",
            &[
                "codec-mask-PCMA",
                "codec-strip-PCMU",
                "codec-transcode-G722",
                "codec-transcode-PCMA",
            ],
            "8 9 101",
        ),
        // With events of its clock (RFC 4733).
        ("8 101", &["codec-transcode-opus"], "8 96 101 97"),
        (
            "8 101 102",
            &[
                "codec-strip-all",
                "codec-transcode-opus",
                "codec-except-telephone-event",
            ],
            "96 102",
        ),
        (
            "96 101 102",
            &["codec-mask-opus", "codec-transcode-PCMA"],
            "8 101",
        ),
        // One of several is enough.
        (
            "8",
            &["codec-transcode-G729", "codec-transcode-PCMU"],
            "8 0",
        ),
        ("8", &["codec-transcode-G729", "codec-transcode-PCMA"], "8"),
    ] {
        let mut site = Site::new();
        let out = sdp(&site.offer(&described(offered), flags(wishes)));
        assert_eq!(formats(&out), wanted, "{offered}: {wishes:?}");
        // Each number is told once at most, and none that is not there.
        for number in 0..128u8 {
            let is_there = wanted.split(' ').any(|own| own == number.to_string());
            let maps = out.matches(&format!("a=rtpmap:{number} ")).count();
            assert!(maps <= usize::from(is_there), "{number}: {out}");
            assert!(
                number < 96 || maps == usize::from(is_there),
                "{number}: {out}"
            );
        }
    }
}

#[test]
fn a_dictionary_says_what_flags_say_in_whatever_form_it_comes() {
    for wishes in [
        json!({"codec": {"strip": ["all"], "offer": ["G722"], "transcode": ["opus"]}}),
        json!({"codec": {"mask": "all", "offer": ["G722"], "transcode": ["opus"]}}),
        json!({"rtpp_flags": "codec=[strip=[all] offer=[G722] transcode=[opus]]"}),
        json!({"rtpp_flags": "codec-strip-all codec-offer-G722 transcode-opus"}),
        json!({"rtpp_flags": "codec-strip=all codec-offer=[G722] transcode=opus"}),
        json!({"flags": ["codec-strip=all", "codec-offer=G722", "transcode=opus"]}),
        json!({"flags": ["codec strip all", "codec_offer_G722", "codec-transcode-opus"]}),
    ] {
        let mut site = Site::new();
        let out = sdp(&site.offer(&described("8 0 9 101"), wishes.clone()));
        assert_eq!(formats(&out), "9 96", "{wishes}");
        assert!(out.contains("a=rtpmap:96 opus/48000/2\r\na=fmtp:96 useinbandfec=1\r\n"));
    }
    for (wishes, word) in [
        (flags(&["codec-transcode-G729"]), "can be transcoded"),
        (
            flags(&["codec-transcode-telephone-event"]),
            "can be transcoded",
        ),
        (flags(&["codec-transcode-opus/16000"]), "can be transcoded"),
        (flags(&["codec-move-PCMA"]), "are known"),
        (json!({"codec": {"strip": [""]}}), "names no codec"),
        (json!({"codec": "PCMA"}), "dictionary"),
    ] {
        let mut site = Site::new();
        let refused = site.offer(&described("8"), wishes.clone());
        let why = refused["error-reason"].as_str().expect("a reason");
        assert!(why.contains(word), "{wishes}: {why}");
        // No port stays behind.
        assert_eq!(site.server.calls(), 0);
    }
}

#[test]
fn an_answer_brings_the_offerer_what_it_has() {
    for (offered, wishes, answered, told, towards_offerer, towards_answerer) in [
        // What was stripped cannot be answered, whatever the answer says.
        (
            "8 0",
            &["codec-strip-PCMA"][..],
            "0 8",
            "0",
            &[(0, 0)][..],
            &[(0, 0)][..],
        ),
        // Both have it: nothing is transcoded.
        (
            "8 101",
            &["codec-transcode-G722"],
            "8 9 101",
            "8 101",
            &[(8, 8), (101, 101)],
            &[(8, 8), (101, 101)],
        ),
        (
            "111 8",
            &["codec-mask-opus"],
            "8",
            "8",
            &[(8, 8)],
            &[(8, 8)],
        ),
        // Who answers sends what is first in its answer: of what was added, that is made, and the other is taken as well.
        (
            "8 101",
            &["codec-transcode-G722"],
            "9 8 101",
            "8 101",
            &[(8, 8), (101, 101)],
            &[(9, 9), (8, 8), (101, 101)],
        ),
        // Of two that have been added both are taken, and the first is sent.
        (
            "8",
            &["codec-transcode-G722", "codec-transcode-opus"],
            "111 9",
            "8",
            &[(8, 8)],
            &[(96, 111), (9, 9)],
        ),
        // What was taken out for good is for where there is nothing else; what is masked is not taken out for good.
        (
            "96 0",
            &["codec-strip-opus", "codec-transcode-PCMA"],
            "8",
            "0",
            &[(0, 0)],
            &[(8, 8)],
        ),
        (
            "96 97",
            &["codec-strip-opus", "codec-transcode-PCMA"],
            "8",
            "96",
            &[(96, 96)],
            &[(8, 8)],
        ),
        (
            "96 0",
            &["codec-mask-opus", "codec-transcode-PCMA"],
            "8",
            "96",
            &[(96, 96)],
            &[(8, 8)],
        ),
        (
            "97 0",
            &["codec-transcode-PCMA"],
            "8",
            "0",
            &[(0, 0)],
            &[(8, 8)],
        ),
        (
            "0 101",
            &[
                "codec-mask-all",
                "codec-transcode-PCMA",
                "codec-offer-telephone-event",
            ],
            "8 120",
            "0 101",
            &[(0, 0), (101, 101)],
            &[(8, 8), (101, 120)],
        ),
        // Events of the clock of the audio that is left; none if none were answered.
        (
            "111 101 102",
            &["codec-mask-opus", "codec-transcode-PCMA"],
            "8 101",
            "111 102",
            &[(111, 111), (102, 102)],
            &[(8, 8), (101, 101)],
        ),
        (
            "111 101",
            &["codec-mask-opus", "codec-transcode-PCMA"],
            "8",
            "111",
            &[(111, 111)],
            &[(8, 8)],
        ),
        // Numbers of the answerer's own.
        (
            "8",
            &["codec-transcode-opus"],
            "111",
            "8",
            &[(8, 8)],
            &[(96, 111)],
        ),
        // Who is not believed to have it hears it in another.
        (
            "8 0",
            &["codec-ignore-PCMA"],
            "8",
            "0",
            &[(0, 0)],
            &[(8, 8)],
        ),
        // It is told what it is believed to have, and what else was answered passes as it may be sent.
        (
            "8 0",
            &["codec-ignore-PCMA"],
            "8 0",
            "0",
            &[(0, 0), (8, 8)],
            &[(0, 0), (8, 8)],
        ),
        // It is believed again where nothing could be made of what was answered.
        (
            "97 0",
            &["codec-ignore-AMR"],
            "97",
            "97",
            &[(97, 97)],
            &[(97, 97)],
        ),
        // What is not made is no part of what is transcoded.
        (
            "97 8 0",
            &["codec-ignore-AMR", "codec-ignore-PCMA"],
            "97 8",
            "0",
            &[(0, 0)],
            &[(8, 8)],
        ),
    ] {
        let mut site = Site::new();
        sdp(&site.offer(&described(offered), flags(wishes)));
        let answer = sdp(&site.answer(&described(answered), json!({})));
        assert_eq!(
            formats(&answer),
            told,
            "{offered} {wishes:?} {answered}\n{answer}"
        );
        let [a, b] = site.agreed();
        assert_eq!(
            numbers(&a),
            towards_offerer,
            "{offered} {wishes:?} {answered}"
        );
        assert_eq!(
            numbers(&b),
            towards_answerer,
            "{offered} {wishes:?} {answered}"
        );
        for number in told.split(' ').filter(|own| own.len() > 1) {
            assert!(answer.contains(&format!("a=rtpmap:{number} ")), "{answer}");
        }
    }
}

#[test]
fn what_a_receiver_of_opus_wants_is_told_to_the_relay() {
    let mut site = Site::new();
    sdp(&site.offer(&described("8"), flags(&["codec-transcode-opus"])));
    let answer = described("111").replace("own=111", "maxaveragebitrate=20000;useinbandfec=1");
    sdp(&site.answer(&answer, json!({})));
    let [a, b] = site.agreed();
    assert_eq!(a.payloads[0].format.opus_wishes(), None);
    let wanted = OpusWishes {
        max_kbps: 20,
        packets: OpusPackets::Fec,
        ..OpusWishes::default()
    };
    assert_eq!(b.payloads[0].format.opus_wishes(), Some(wanted));
}

#[test]
fn codecs_are_taken_out_of_an_answer_as_well_and_none_are_put_in() {
    let mut site = Site::new();
    sdp(&site.offer(&described("8 0 9 101"), json!({})));
    let wishes = [
        "codec-strip-all",
        "codec-offer-G722",
        "codec-except-telephone-event",
        "codec-transcode-opus",
    ];
    let answer = sdp(&site.answer(&described("8 0 9 101"), flags(&wishes)));
    assert_eq!(formats(&answer), "9 101");
    // Who has answered is told nothing of it, and may send what it has answered (RFC 3264 §6.1).
    let taken = [(9, 9), (101, 101), (8, 8), (0, 0)];
    let [a, b] = site.agreed();
    assert_eq!((numbers(&a), numbers(&b)), (taken.to_vec(), taken.to_vec()));
    for (offered, wished, answered, wishes, told, towards_offerer, towards_answerer) in [
        // What cannot pass is no use to whoever made the offer: what would pass stays.
        (
            "8 101",
            &["codec-transcode-G722"][..],
            "8 9 101",
            &["codec-strip-PCMA"][..],
            "8 101",
            &[(8, 8), (101, 101)][..],
            &[(8, 8), (101, 101)][..],
        ),
        (
            "8 0",
            &[],
            "8 0",
            &["codec-strip-PCMA"],
            "0",
            &[(0, 0), (8, 8)],
            &[(0, 0), (8, 8)],
        ),
        // Events that are not told of pass, too.
        (
            "8 101",
            &[],
            "8 101",
            &["codec-strip-telephone-event"],
            "8",
            &[(8, 8), (101, 101)],
            &[(8, 8), (101, 101)],
        ),
        // Of what is transcoded that is sent which is wished for, and all is taken.
        (
            "0 101",
            &["codec-mask-PCMU", "transcode-PCMA", "transcode-G722"],
            "8 9 101",
            &["codec-strip-PCMA", "codec-strip-telephone-event"],
            "0",
            &[(0, 0), (101, 101)],
            &[(9, 9), (8, 8), (101, 101)],
        ),
    ] {
        let mut site = Site::new();
        sdp(&site.offer(&described(offered), flags(wished)));
        let answer = sdp(&site.answer(&described(answered), flags(wishes)));
        assert_eq!(formats(&answer), told, "{offered} {wishes:?}\n{answer}");
        let [a, b] = site.agreed();
        let sorted = |numbers: &[(u8, u8)]| {
            let mut numbers = numbers.to_vec();
            numbers.sort_unstable();
            numbers
        };
        assert_eq!(sorted(&numbers(&a)), sorted(towards_offerer), "{wishes:?}");
        assert_eq!(sorted(&numbers(&b)), sorted(towards_answerer), "{wishes:?}");
        // What we send of our own is what was told.
        let first = numbers(&a)[0].1.to_string();
        assert!(told.split(' ').any(|own| own == first), "{told}: {first}");
    }
    let mut site = Site::new();
    sdp(&site.offer(&described("8 0"), json!({})));
    let answer = sdp(&site.answer(&described("8 0"), flags(&["codec-mask-PCMA"])));
    assert_eq!(formats(&answer), "8 0");
}

#[test]
fn an_answer_that_nothing_can_be_made_of_is_refused_and_changes_nothing() {
    let mut site = Site::new();
    sdp(&site.offer(&described("97"), flags(&["codec-transcode-PCMA"])));
    site.told.clear();
    let refused = site.answer(&described("8"), json!({}));
    let why = refused["error-reason"].as_str().expect("a reason");
    assert!(why.contains("can be transcoded into"), "{why}");
    assert!(site.told.is_empty());
    assert_eq!(
        formats(&sdp(&site.answer(&described("97"), json!({})))),
        "97"
    );
    // An m= line names one format at least (RFC 8866 §9), and one that nothing comes of would be silent.
    for (wishes, answered) in [
        (&["codec-strip-PCMA"][..], "8"),
        (&["codec-strip-PCMA"], "18"),
        (&["codec-strip-PCMA"], "18 101"),
        (&[], "18"),
    ] {
        let mut site = Site::new();
        sdp(&site.offer(&described("8 0 101"), flags(wishes)));
        site.told.clear();
        let refused = site.answer(&described(answered), json!({}));
        let why = refused["error-reason"].as_str().expect("a reason");
        assert!(why.contains("no codec that was offered"), "{why}");
        assert!(site.told.is_empty());
        assert_eq!(formats(&sdp(&site.answer(&described("0"), json!({})))), "0");
    }
}

#[test]
fn a_codec_of_ours_keeps_its_number_and_its_identity_over_offers() {
    let mut site = Site::new();
    let wishes = flags(&["codec-transcode-opus"]);
    let out = sdp(&site.offer(&described("8 101"), wishes.clone()));
    assert_eq!(formats(&out), "8 96 101 97");
    sdp(&site.answer(&described("96"), json!({})));
    let [a, b] = site.agreed();
    let (first, made) = (a.payloads[0].id, b.payloads[0].id);
    assert_ne!(first, made);
    // Numbers that the offer has are not taken.
    let out = sdp(&site.offer(&described("8 97 98"), wishes.clone()));
    assert_eq!(formats(&out), "8 97 98 96");
    let out = sdp(&site.offer(&described("8 101"), wishes));
    assert_eq!(formats(&out), "8 96 101 97");
    sdp(&site.answer(&described("96"), json!({})));
    let [a, b] = site.agreed();
    assert_eq!((a.payloads[0].id, b.payloads[0].id), (first, made));
    let statistics = site.ask(json!({"command": "statistics"}));
    assert_eq!(
        statistics["statistics"]["currentstatistics"]["transcodedmedia"],
        1
    );
}

#[test]
fn packet_times_are_those_that_are_wished_for_whatever_a_description_says() {
    let mut site = Site::new();
    let wishes = json!({"ptime": 40, "ptime-reverse": "30"});
    let out = sdp(&site.offer(&described("8"), wishes));
    assert!(
        out.contains("a=ptime:40\r\n") && !out.contains("a=ptime:20"),
        "{out}"
    );
    assert!(!out.contains("maxptime"), "{out}");
    // Of an answer they mean nothing.
    let answer = sdp(&site.answer(&described("8"), json!({"ptime": 60, "ptime-reverse": 60})));
    assert!(
        answer.contains("a=ptime:30\r\n") && !answer.contains("a=ptime:20"),
        "{answer}"
    );
    assert!(answer.contains("a=maxptime:30\r\n"));
    let [a, b] = site.agreed();
    assert_eq!((a.ptime_ms, b.ptime_ms), (30, 40));
    // What lies between would be written, and not be kept to.
    for (key, ms) in [("ptime", 90), ("ptime", 33), ("ptime-reverse", 25)] {
        let refused = Site::new().offer(&described("8"), json!({ key: ms }));
        let why = refused["error-reason"].as_str().expect("a reason");
        assert!(why.contains("10, 20, 30, 40 or 60 ms"), "{key}: {why}");
    }
    let out = sdp(&Site::new().offer(&described("8"), json!({"ptime": 0})));
    assert!(out.contains("a=ptime:20\r\n"));
}
