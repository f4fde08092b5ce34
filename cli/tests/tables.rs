//! Tables of the guide to capacity, worked out anew: who buys lines and links by them must be able to rely on each figure.

use causeway::command::documents::GUIDES;

/// Cells of each row below a heading of a table that begins so.
fn rows(heading: &str) -> Vec<Vec<&'static str>> {
    let guide = GUIDES.iter().find(|own| own.name == "capacity").unwrap();
    let lines = guide
        .text
        .lines()
        .skip_while(|line| !line.starts_with(heading));
    // The heading, and the line below it.
    let rows = lines.skip(2).take_while(|line| line.starts_with('|'));
    rows.map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect()
}

fn number(cell: &str) -> f64 {
    cell.parse()
        .unwrap_or_else(|_| panic!("{cell:?} is no number"))
}

/// Part of the calls that find all lines taken (Erlang B), for calls at a time on average.
fn refused(lines: u32, calls: f64) -> f64 {
    (1..=lines).fold(1.0, |so_far, line| {
        calls * so_far / (f64::from(line) + calls * so_far)
    })
}

#[test]
fn so_many_calls_find_a_line_and_a_tenth_of_one_more_does_not() {
    // One line and one call at a time: half of them find it taken.
    assert!((refused(1, 1.0) - 0.5).abs() < 1e-9);
    let rows = rows("| Lines |");
    assert!(rows.len() > 5, "{rows:?}");
    for row in rows {
        let lines: u32 = row[0].parse().unwrap();
        for (cell, most) in [(row[1], 0.01), (row[2], 0.001)] {
            let calls = number(cell);
            assert!(refused(lines, calls) <= most, "{lines} lines, {cell}");
            assert!(refused(lines, calls + 0.1) > most, "{lines} lines, {cell}");
        }
    }
}

#[test]
fn bandwidth_is_that_of_the_octets_of_each_packet() {
    // IPv4, UDP and RTP; the tag of HMAC-SHA1-80; addresses, type and checksum of Ethernet.
    const HEADERS: f64 = 20.0 + 8.0 + 12.0;
    const TAG: f64 = 10.0;
    const FRAME: f64 = 18.0;
    let rows = rows("| Codec |");
    assert!(rows.len() > 4, "{rows:?}");
    for row in rows {
        let (between_ms, octets) = (number(row[1]), number(row[2]));
        let packets = 1000.0 / between_ms;
        let of = |more: f64| format!("{:.1}", (octets + HEADERS + more) * 8.0 * packets / 1000.0);
        let wanted = [
            format!("{packets:.1}"),
            of(0.0),
            of(TAG),
            of(FRAME),
            of(TAG + FRAME),
        ];
        assert_eq!(row[3..], wanted, "{row:?}");
    }
}
