//! What a Teams trunk leaves out of what there is: data centres, ranges, OPTIONS, our own make. Calls go until
//! Teams comes or goes by the part that is missing.

use super::Load;
use super::trunk::is_of_microsoft;
use crate::config::finding::Code;
use crate::config::source::{At, Span};
use crate::config::written::{WrittenOptions, WrittenTrunk};
use crate::config::{Cloud, IpNet, TargetAddress};
use std::net::IpAddr;

impl Load<'_> {
    /// Of the trunk that says it; derived ones have it from there.
    pub(super) fn left_out_of_teams(
        &mut self,
        title: &str,
        written: &WrittenTrunk,
        targets: &[At<TargetAddress>],
    ) {
        let cloud = written.cloud.as_ref();
        let cloud = cloud.map_or(Cloud::default(), |at| at.value);
        let mut warn = |span: &Span, cause: String, help: String| {
            let cause = format!("{title}: {cause}");
            self.out.add(Code::LessOfTeams, span, cause, Some(help));
        };
        let names = called(targets);
        let is_whole = names.len() >= cloud.names().len()
            && names
                .iter()
                .zip(cloud.names())
                .all(|(own, name)| own.eq_ignore_ascii_case(name));
        if let Some(at) = written.targets.as_ref()
            && !names.is_empty()
            && !is_whole
        {
            // TDR-CON-001, TDR-OPT-007
            warn(
                &at.span,
                format!(
                    "Teams is called at {}, in this order: a region that is not asked ranks this SBC last, and \
                     what is first should be nearest",
                    names.join(", ")
                ),
                format!(
                    "remove targets: without the key {} are called",
                    cloud.names().join(", ")
                ),
            );
        }
        let lacks = |ranges: &[At<IpNet>]| {
            let ranges: Vec<IpNet> = ranges.iter().map(|at| at.value).collect();
            let mut all = cloud.ranges().into_iter();
            all.find(|range| !are_covering(&ranges, range))
        };
        if let Some(at) = written.accept_from.as_ref()
            && !names.is_empty()
            && let Some(range) = lacks(&at.value)
        {
            let (first, prefix) = (range.first(), range.prefix);
            // TDR-CON-003
            warn(
                &at.span,
                format!(
                    "not all of {first}/{prefix} is let in: Teams ends and transfers calls from any address of its \
                     ranges, also of calls that began elsewhere"
                ),
                "remove accept_from: without the key the ranges of Teams are let in".to_owned(),
            );
        }
        if let Some(WrittenOptions::Off(span)) = &written.options
            && written.inherits.is_none()
        {
            // TDR-OPT-001
            warn(
                span,
                "Teams calls no SBC that never sent OPTIONS, and holds one that is silent for five minutes for down"
                    .to_owned(),
                "remove the key".to_owned(),
            );
        }
        let make = written.set_headers.iter();
        let mut make = make.filter(|(name, _)| name.value.eq_ignore_ascii_case("X-MS-SBC"));
        if let Some((_, at)) = make.find(|(_, at)| !is_make(&at.value)) {
            // TDR-OPT-011
            warn(
                &at.span,
                "X-MS-SBC does not tell vendor, model and version".to_owned(),
                "write \"Vendor/Model/Version\", or remove it: ours is sent then".to_owned(),
            );
        }
    }
}

/// Names of Microsoft that are called where they are, not at an address that the operator gave.
fn called(targets: &[At<TargetAddress>]) -> Vec<&str> {
    let targets = targets.iter().map(|at| &at.value);
    targets
        .filter(|target| is_of_microsoft(&target.host) && target.connect_to.is_empty())
        .map(|target| target.host.as_str())
        .collect()
}

/// Whether ranges hold every address of another, together.
fn are_covering(ranges: &[IpNet], wanted: &IpNet) -> bool {
    let mut ranges: Vec<(IpAddr, IpAddr)> = ranges
        .iter()
        .filter(|range| range.address.is_ipv4() == wanted.address.is_ipv4())
        .map(|range| (range.first(), range.last()))
        .collect();
    ranges.sort_unstable();
    let mut next = wanted.first();
    for (first, last) in ranges {
        if first > next {
            return false;
        }
        if last >= wanted.last() {
            return true;
        }
        if last >= next {
            next = after(last);
        }
    }
    false
}

/// The next address; there is one, as the caller looks for more.
fn after(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(address) => IpAddr::from(u32::from(address).saturating_add(1).to_be_bytes()),
        IpAddr::V6(address) => IpAddr::from(u128::from(address).saturating_add(1).to_be_bytes()),
    }
}

/// Three parts, none of them blank.
fn is_make(text: &str) -> bool {
    let mut parts = text.split('/');
    text.split('/').count() == 3 && parts.all(|part| !part.trim().is_empty())
}
