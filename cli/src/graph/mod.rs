//! Microsoft Graph, as far as an SBC has use for it: what Microsoft noted about the calls of a customer
//! (TDG-CDR-001 to TDG-CDR-003, TDG-ENT-001).
//!
//! ```text
//! token ─► day by day ─► page by page ─► rows, each once
//! ```
//!
//! A token is shown to Graph's own host and to nobody else, whatever an answer says. One request is under way
//! at a time. Who is asked to wait waits, but not for ever. On hyper and not on a client library: the daemon
//! fetches certificates with it already [`crate::https`], and a client that follows redirections and keeps
//! connections by itself is more than may be trusted with a token.

pub mod assertion;
pub mod fault;
pub mod presence;
pub mod reach;
pub mod row;
pub mod token;

pub use fault::GraphFault;
pub use row::Row;

use fault::Refusal;
use hyper::body::Bytes;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, StatusCode};
use reach::{Reach, Reply};
use sbc_core::config::GraphAccess;
use sbc_core::time::UnixTime;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use token::Tokens;
use tokio::time::timeout;

/// Most pages of one day: a million calls.
const MOST_PAGES: usize = 1_000;
/// Most rows that are kept.
const MOST_ROWS: usize = 1_000_000;
/// For so long somebody who is busy is left alone at most.
const LONGEST_WAIT: Duration = Duration::from_secs(300);
/// A day.
pub const DAY: Duration = Duration::from_secs(86_400);

/// Reads the reports about one customer's calls.
pub struct Graph<'a> {
    access: &'a GraphAccess,
    reach: &'a Reach,
    tokens: Tokens,
}

/// What was read.
#[derive(Default, Debug)]
pub struct Report {
    /// Rows by their id: one that comes again, because rows moved between pages, counts once.
    pub rows: BTreeMap<String, Row>,
    /// Rows that lack what a call cannot be told without.
    pub unreadable: usize,
}

impl<'a> Graph<'a> {
    /// A reader that has no token yet.
    pub fn new(access: &'a GraphAccess, reach: &'a Reach) -> Self {
        Self {
            access,
            reach,
            tokens: Tokens::default(),
        }
    }

    /// All rows of the days from `first` to before `end`, both at midnight UTC. Each day is asked for alone:
    /// what Microsoft allows at most is not documented (TDG-CDR-001).
    ///
    /// # Errors
    /// [`GraphFault`]; what was read before is lost.
    pub async fn direct_routing_calls(
        &mut self,
        first: UnixTime,
        end: UnixTime,
    ) -> Result<Report, GraphFault> {
        let mut report = Report::default();
        let mut day = first;
        while day < end {
            let next = day + DAY;
            self.read_day(day, next, &mut report).await?;
            day = next;
        }
        Ok(report)
    }

    async fn read_day(
        &mut self,
        day: UnixTime,
        next: UnixTime,
        report: &mut Report,
    ) -> Result<(), GraphFault> {
        let mut path = format!(
            "/v1.0/communications/callRecords/getDirectRoutingCalls(fromDateTime={},toDateTime={})",
            day.date(),
            next.date()
        );
        let mut known = BTreeSet::new();
        loop {
            if !known.insert(path.clone()) || known.len() > MOST_PAGES {
                return Err(GraphFault::Endless { day: day.date() });
            }
            let page = self.get(&path).await?;
            for row in page["value"].as_array().into_iter().flatten() {
                match Row::read(row) {
                    Some(row) => drop(report.rows.insert(row.id.clone(), row)),
                    None => report.unreadable += 1,
                }
            }
            if report.rows.len() > MOST_ROWS {
                return Err(GraphFault::TooManyRows(MOST_ROWS));
            }
            match page["@odata.nextLink"].as_str() {
                Some(link) => path = self.own_path(link)?,
                None => return Ok(()),
            }
        }
    }

    /// The path of a link to the next page, which is Graph's own or nobody's.
    pub(crate) fn own_path(&self, link: &str) -> Result<String, GraphFault> {
        let host = self.access.cloud.graph();
        let own = link.strip_prefix("https://");
        let own = own.and_then(|rest| Some(rest.split_at(rest.find('/')?)));
        let own = own.filter(|(authority, _)| {
            let name = authority.strip_suffix(":443").unwrap_or(authority);
            name.eq_ignore_ascii_case(host)
        });
        match own {
            Some((_, path)) => Ok(path.to_owned()),
            None => Err(GraphFault::ForeignLink {
                host,
                link: link.chars().take(200).collect(),
            }),
        }
    }

    async fn get(&mut self, path: &str) -> Result<Value, GraphFault> {
        self.send(Method::GET, path, None).await
    }

    /// Asks something with a token; `Value::Null` is an answer without a body.
    ///
    /// # Errors
    /// [`GraphFault`].
    pub(crate) async fn send(
        &mut self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, GraphFault> {
        let sent: Bytes = body.map_or_else(Bytes::new, |body| body.to_string().into());
        let host = self.access.cloud.graph();
        let mut is_new = false;
        loop {
            let bearer = self.bearer().await?;
            let request = || {
                let request = Request::builder()
                    .method(method.clone())
                    .uri(path)
                    .header(AUTHORIZATION, bearer.clone())
                    .header(ACCEPT, "application/json");
                match body {
                    Some(_) => request.header(CONTENT_TYPE, "application/json"),
                    None => request,
                }
            };
            let reply = self.reach.patiently(host, request, || sent.clone()).await?;
            match reply.status {
                status if status.is_success() && reply.body.is_empty() => return Ok(Value::Null),
                status if status.is_success() => {
                    return serde_json::from_slice(&reply.body)
                        .map_err(|_| GraphFault::Unreadable { host });
                }
                // It may have been withdrawn before its time.
                StatusCode::UNAUTHORIZED if !is_new => {
                    self.tokens.forget();
                    is_new = true;
                }
                _ => return Err(self.refused(&reply)),
            }
        }
    }

    /// Posts something once; who is busy says for how long it wants to be left alone, and nobody waits here.
    ///
    /// # Errors
    /// [`GraphFault`], also for a refusal: with what to do about it if it is the permission that lacks.
    pub(crate) async fn post(
        &mut self,
        path: &str,
        body: &Value,
        (within, permission): (Duration, &'static str),
    ) -> Result<Value, GraphFault> {
        let host = self.access.cloud.graph();
        let mut is_new = false;
        loop {
            let bearer = self.bearer().await?;
            let request = Request::post(path)
                .header(AUTHORIZATION, bearer)
                .header(ACCEPT, "application/json")
                .header(CONTENT_TYPE, "application/json");
            let asked = self.reach.ask(host, request, body.to_string().into());
            let silent = GraphFault::Silent {
                host,
                after: within,
            };
            let (reply, wait) = timeout(within, asked).await.unwrap_or(Err(silent))?;
            match reply.status {
                status if status.is_success() => {
                    return match reply.body.is_empty() {
                        true => Ok(Value::Null),
                        false => serde_json::from_slice(&reply.body)
                            .map_err(|_| GraphFault::Unreadable { host }),
                    };
                }
                // It may have been withdrawn before its time.
                StatusCode::UNAUTHORIZED if !is_new => {
                    self.tokens.forget();
                    is_new = true;
                }
                status
                    if status == StatusCode::TOO_MANY_REQUESTS
                        || status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED =>
                {
                    return Err(GraphFault::Busy {
                        host,
                        status: status.as_u16(),
                        wait: wait.unwrap_or(Duration::from_secs(5)).min(LONGEST_WAIT),
                    });
                }
                _ => {
                    let refusal = Refusal::of_presence(self.access, &reply, permission);
                    return Err(GraphFault::Refused(Box::new(refusal)));
                }
            }
        }
    }

    /// A token that is good for a while, as a header shows it.
    async fn bearer(&mut self) -> Result<HeaderValue, GraphFault> {
        let host = self.access.cloud.graph();
        let token = self.tokens.current(self.access, self.reach).await?;
        let bearer = HeaderValue::try_from(format!("Bearer {token}"));
        let mut bearer = bearer.map_err(|_| GraphFault::Unreadable { host })?;
        bearer.set_sensitive(true);
        Ok(bearer)
    }

    fn refused(&self, reply: &Reply) -> GraphFault {
        GraphFault::Refused(Box::new(Refusal::of_graph(self.access, reply)))
    }

    /// By how much the clock of Microsoft is ahead of ours, as far as an answer has told, in seconds.
    pub fn clock_ahead_s(&self) -> Option<i64> {
        self.reach.clock_ahead_s()
    }
}
