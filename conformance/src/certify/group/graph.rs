//! GRA: Microsoft Graph and Entra.

use crate::certify::case::{Case, Need, Played, breaks, case};
use crate::certify::mutation::Mutation;
use crate::certify::setting::{FQDN, Proof, Setting};
use crate::certify::stage::Stage;
use crate::microsoft::{GRAPH, LOGIN, Refusal, Script, clock};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::Instant;

/// A day of which the subject knows nothing.
const DAY: &str = "2020-01-01";
/// Ten o'clock on that day.
const TEN: u64 = 1_577_872_800_000;
/// By how much Microsoft's clock is ahead.
const AHEAD_MS: u64 = 1_000;

/// The cases.
pub const CASES: &[Case] = &[
    case(
        "TC-GRA-001",
        |stage| Box::pin(over_several_pages(stage)),
        &[
            breaks(
                "TDG-CDR-001",
                Mutation::Heard("@odata.nextLink", "@odata.otherLink"),
            ),
            breaks(
                "TDG-CDR-001",
                Mutation::Told("\"id\":\"row-7\"", "\"id\":\"row-8\""),
            ),
            breaks(
                "TDG-CDR-001",
                Mutation::Asked("toDateTime=2020-01-02", "toDateTime=tomorrow"),
            ),
        ],
    )
    .needs(&[Need::Graph])
    .with(by_secret),
    case(
        "TC-GRA-002",
        |stage| Box::pin(asked_to_wait(stage)),
        &[breaks(
            "TDG-CDR-003",
            Mutation::Heard("Retry-After: 2", "Retry-After: 0"),
        )],
    )
    .needs(&[Need::Graph])
    .with(by_secret),
    case(
        "TC-GRA-003",
        |stage| Box::pin(odd_rows(stage)),
        &[
            // Who takes the year 1 for a time shows a failure that there was not.
            breaks(
                "TDG-CDR-002",
                Mutation::Heard("0001-01-01T00:00:00Z", "2020-01-01T00:00:00Z"),
            ),
            breaks("TDG-CDR-002", Mutation::Told("ByotQuantum", "ByotIn")),
        ],
    )
    .needs(&[Need::Graph])
    .with(by_secret),
    case(
        "TC-GRA-004",
        |stage| Box::pin(both_sides(stage)),
        &[
            breaks("TDG-CDR-004", Mutation::Heard(FQDN, "sbc9.test.example")),
            breaks("TDG-CDR-004", Mutation::Heard("ByotIn", "ByotOut")),
            breaks(
                "TDG-CDR-004",
                Mutation::Heard("+441632960***", "+441632961***"),
            ),
        ],
    )
    .needs(&[Need::Graph])
    .with(by_secret),
    case(
        "TC-GRA-009",
        |stage| Box::pin(by_its_certificate(stage)),
        &[
            breaks(
                "TDG-ENT-001",
                Mutation::Asked("client_assertion=e", "client_assertion=f"),
            ),
            breaks(
                "TDG-ENT-001",
                Mutation::Asked("client_assertion=", "client_secret="),
            ),
            breaks(
                "TDG-ENT-001",
                Mutation::Asked("client_assertion=", "client_secret=x&client_assertion="),
            ),
            breaks(
                "TDG-ENT-001",
                Mutation::Heard("\"value\":[", "\"value\":[],\"others\":["),
            ),
        ],
    )
    .needs(&[Need::Graph])
    .with(|setting| setting.reports = Some(Proof::Certificate)),
];

fn by_secret(setting: &mut Setting) {
    setting.reports = Some(Proof::Secret);
}

/// A row of a good call to Teams.
fn row(id: String, ms: u64) -> Value {
    json!({
        "id": id, "correlationId": format!("c98e1515-a937-4b81-b8a8-{ms:012}"),
        "inviteDateTime": clock::text(ms), "startDateTime": clock::text(ms),
        "failureDateTime": "0001-01-01T00:00:00Z", "endDateTime": clock::text(ms + 1_000),
        "duration": 1, "callType": "ByotIn", "successfulCall": true,
        "callerNumber": "+441632960***", "calleeNumber": "+441632960***",
        "mediaPathLocation": "USWE", "signalingLocation": "EUNO", "finalSipCode": 0,
        "callEndSubReason": 540_000, "finalSipCodePhrase": "BYE",
        "trunkFullyQualifiedDomainName": FQDN, "mediaBypassEnabled": false,
    })
}

fn reported(rows: Vec<Value>) -> Script {
    Script {
        rows: BTreeMap::from([(DAY.to_owned(), rows)]),
        ..Script::default()
    }
}

/// What is told of rows that belong to no call of the subject.
fn alone(told: &Value) -> &[Value] {
    let all = told["only_microsoft"].as_array();
    all.map(Vec::as_slice).unwrap_or_default()
}

/// TC-GRA-001.
async fn over_several_pages(stage: &Stage) -> Played {
    let rows = (0..2_501).map(|index| row(format!("row-{index}"), TEN + index));
    let microsoft = stage.microsoft(reported(rows.collect())).await?;
    let told = stage.records(&microsoft, (DAY, DAY), "TDG-CDR-001").await?;
    let found: Vec<&str> = alone(&told)
        .iter()
        .filter_map(|one| one["row"]["id"].as_str())
        .collect();
    let different: BTreeSet<&&str> = found.iter().collect();
    let is_right = found.len() == 2_501 && different.len() == 2_501;
    stage.check("TDG-CDR-001", is_right, || {
        let (all, different) = (found.len(), different.len());
        format!("{all} rows are told, {different} of them different, of 2501")
    });
    let asked = microsoft.asked_at(GRAPH);
    stage.check("TDG-CDR-001", asked == 3, || {
        format!("{asked} pages were fetched, not 3")
    });
    Ok(())
}

/// TC-GRA-002.
async fn asked_to_wait(stage: &Stage) -> Played {
    let refusal = |status, seconds| Refusal {
        status,
        retry_after_s: Some(seconds),
    };
    let mut script = reported(vec![row("row".to_owned(), TEN)]);
    script.refusals = [refusal(429, 2), refusal(503, 1)].into();
    let microsoft = stage.microsoft(script).await?;
    let began = Instant::now();
    let told = stage.records(&microsoft, (DAY, DAY), "TDG-CDR-003").await?;
    let took = began.elapsed();
    stage.check("TDG-CDR-003", took >= Duration::from_secs(3), || {
        format!("it was asked to wait 3 s, and was done after {took:?}")
    });
    stage.check("TDG-CDR-003", alone(&told).len() == 1, || {
        "the row is not told after the wait".to_owned()
    });
    Ok(())
}

/// TC-GRA-003.
async fn odd_rows(stage: &Stage) -> Played {
    let mut odd = row("odd".to_owned(), TEN);
    odd["callType"] = json!("ByotQuantum");
    odd["callEndSubReason"] = json!(424_242);
    odd["newMember"] = json!([{ "of": "later versions" }]);
    let microsoft = stage.microsoft(reported(vec![odd])).await?;
    let told = stage.records(&microsoft, (DAY, DAY), "TDG-CDR-002").await?;
    let row = alone(&told).first().map(|one| one["row"].clone());
    let row = row.unwrap_or_default();
    stage.check("TDG-CDR-002", row["call_type"] == "ByotQuantum", || {
        format!("a call of an unknown kind is told as {row}")
    });
    let is_told = row.get("failed").is_some();
    stage.check("TDG-CDR-002", is_told && row["failed"].is_null(), || {
        format!("a call that did not fail is told as {row}")
    });
    Ok(())
}

/// TC-GRA-004: five calls each way, and Microsoft's clock is a second ahead.
async fn both_sides(stage: &Stage) -> Played {
    let began = clock::now_ms();
    let mut rows: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for index in 0..10 {
        let is_inwards = index % 2 == 0;
        let mut at = clock::now_ms();
        let mut talk = match is_inwards {
            true => {
                let caller = stage.carrier_dials().await?;
                let called = stage.teams_is_called().await?;
                at = clock::now_ms();
                stage.answered(caller, called).await?
            }
            false => stage.from_teams().await?,
        };
        talk.caller_ends().await?;
        at += AHEAD_MS;
        let mut row = row(index.to_string(), at);
        row["callType"] = json!(if is_inwards { "ByotIn" } else { "ByotOut" });
        rows.entry(clock::date(at)).or_default().push(row);
    }
    stage.recorded(10).await?;
    let script = Script {
        rows,
        ..Script::default()
    };
    let microsoft = stage.microsoft(script).await?;
    let days = (clock::date(began), clock::date(clock::now_ms() + AHEAD_MS));
    let told = stage
        .records(&microsoft, (&days.0, &days.1), "TDG-CDR-004")
        .await?;
    let mut pairs: Vec<(String, String)> = Vec::new();
    for one in told["matched"].as_array().into_iter().flatten() {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let row = text(&one["microsoft"][0]["row"]["id"]);
        pairs.push((text(&one["ours"]["start"]), row));
    }
    pairs.sort();
    // One call after the other: their order is that of the rows.
    let found: Vec<&str> = pairs.iter().map(|(_, row)| row.as_str()).collect();
    let wanted: Vec<String> = (0..10).map(|index| index.to_string()).collect();
    stage.check("TDG-CDR-004", found == wanted, || {
        format!("in the order of their calls the rows are {found:?}")
    });
    for list in ["only_microsoft", "only_ours"] {
        let rest = told[list].as_array().map(Vec::len);
        stage.check("TDG-CDR-004", rest == Some(0), || {
            format!("{list} has {rest:?} of ten calls that both sides know")
        });
    }
    Ok(())
}

/// TC-GRA-009.
async fn by_its_certificate(stage: &Stage) -> Played {
    let rows = vec![row("row".to_owned(), TEN)];
    let microsoft = stage.microsoft(reported(rows)).await?;
    let told = stage.records(&microsoft, (DAY, DAY), "TDG-ENT-001").await?;
    stage.check("TDG-ENT-001", alone(&told).len() == 1, || {
        "the row is not told".to_owned()
    });
    let heard = microsoft.heard();
    let mut proofs = heard.iter().filter(|request| request.host == LOGIN);
    let is_by_certificate =
        proofs.clone().count() > 0 && proofs.all(|request| !request.body.contains("client_secret"));
    stage.check("TDG-ENT-001", is_by_certificate, || {
        "the application proved itself otherwise".to_owned()
    });
    Ok(())
}
