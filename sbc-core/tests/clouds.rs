//! Clouds that Teams is served from: names, ranges and ports of each.

use crate::world::CONFIG;

use sbc_core::config::{Assumed, Cloud, Code, Config, Source, load};
use std::net::IpAddr;

/// The usual world with Teams in this cloud, at the names that the preset knows.
fn in_cloud(line: &str) -> String {
    let begin = CONFIG.find("targets = [\n").expect("targets of Teams");
    let end = CONFIG
        .find("accept_from = [\"203")
        .expect("ranges of Teams");
    let rest = CONFIG[end..].split_once('\n').expect("lines").1;
    format!("{}{line}\n{rest}", &CONFIG[..begin])
}

fn loaded(text: &str) -> Result<Config, Vec<(Code, String)>> {
    let facts = Assumed::with_names(["sbc1.contoso.example"]);
    match load(&[Source::new("clouds.toml", text)], &facts, None) {
        Ok(loaded) => Ok(loaded.config),
        Err(findings) => {
            let errors = findings.errors.into_iter();
            Err(errors.map(|found| (found.code, found.cause)).collect())
        }
    }
}

#[test]
fn each_cloud_has_its_names_and_ranges_and_no_second_name_where_there_is_one() {
    let is_in = |config: &Config, address: &str| {
        let address: IpAddr = address.parse().expect("an address");
        let ranges = &config.trunks[&"teams-contoso".into()].accept_from;
        ranges.iter().any(|range| range.contains(address))
    };
    for (line, cloud, hosts, inside, outside) in [
        (
            "",
            Cloud::Worldwide,
            &[
                "sip.pstnhub.microsoft.com",
                "sip2.pstnhub.microsoft.com",
                "sip3.pstnhub.microsoft.com",
            ][..],
            ["52.112.0.1", "52.123.255.254"],
            ["52.127.88.1", "52.111.255.255"],
        ),
        (
            "cloud = \"gcc-high\"",
            Cloud::GccHigh,
            &["sip.pstnhub.gov.teams.microsoft.us"],
            ["52.127.88.0", "52.127.95.255"],
            ["52.127.96.0", "52.112.0.1"],
        ),
        (
            "cloud = \"dod\"",
            Cloud::Dod,
            &["sip.pstnhub.dod.teams.microsoft.us"],
            ["52.127.64.0", "52.127.71.255"],
            ["52.127.72.0", "52.127.88.0"],
        ),
    ] {
        let config = loaded(&in_cloud(line)).expect("valid");
        let trunk = &config.trunks[&"teams-contoso".into()];
        assert_eq!(trunk.cloud, Some(cloud));
        let targets = trunk.targets.iter();
        let targets: Vec<_> = targets.map(|at| (at.host.as_str(), at.port)).collect();
        let expected: Vec<_> = hosts.iter().map(|host| (*host, 5061)).collect();
        assert_eq!(targets, expected, "{cloud:?}");
        // Their certificates carry the name of the service.
        assert_eq!(trunk.accept_names, hosts);
        assert!(
            inside.iter().all(|address| is_in(&config, address)),
            "{cloud:?}"
        );
        assert!(
            !outside.iter().any(|address| is_in(&config, address)),
            "{cloud:?}"
        );
    }
}

#[test]
fn clouds_of_the_government_call_at_one_port_only() {
    let elsewhere = |line: &str| in_cloud(line).replace("port = 5061", "port = 5067");
    assert!(loaded(&elsewhere("")).is_ok());
    for cloud in ["gcc-high", "dod"] {
        let found = loaded(&elsewhere(&format!("cloud = \"{cloud}\""))).expect_err("a port");
        let [(Code::TeamsRule, cause)] = &found[..] else {
            panic!("{found:?}");
        };
        assert!(
            cause.contains("port 5061 only") && cause.contains(cloud),
            "{cause}"
        );
    }
}

#[test]
fn a_cloud_that_is_none_or_not_served_is_told() {
    let carrier = CONFIG.replace(
        "preset = \"carrier\"",
        "preset = \"carrier\"\ncloud = \"dod\"",
    );
    let found = loaded(&carrier).expect_err("no cloud");
    assert_eq!(found[0].0, Code::Contradiction);
    let found = loaded(&in_cloud("cloud = \"21vianet\"")).expect_err("not served");
    assert_eq!(found[0].0, Code::NotSupported);
    let found = loaded(&in_cloud("cloud = \"gcchigh\"")).expect_err("no word");
    assert_eq!(found[0].0, Code::UnknownValue);
}
