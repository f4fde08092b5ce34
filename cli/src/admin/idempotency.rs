//! What was answered to requests with an `Idempotency-Key`: whoever asks again, because no answer has come, gets the first
//! one, and nothing is done twice (operations, section 9).
//!
//! | the key of this caller, at this method and path | gets                                            |
//! |-------------------------------------------------|-------------------------------------------------|
//! | is new                                          | it done                                         |
//! | was with the same request, which is being done  | 409                                             |
//! | was with the same request, which is done        | the first answer, with `Idempotency-Replayed`   |
//! | was with another request                        | 422                                             |
//!
//! All of it is in memory, for a day and within bounds: what is oldest goes first, and a restart forgets it. A refusal that
//! is for now alone is not kept, as nothing was done: the same key may be tried again.

use super::Problem;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::header::{CONTENT_TYPE, IF_MATCH};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The header of a request, and that of an answer which was given before.
pub(super) const KEY: &str = "Idempotency-Key";
pub(super) const REPLAYED: &str = "Idempotency-Replayed";
/// Octets of a key at most.
pub(super) const LONGEST_KEY: usize = 128;
/// How long an answer is kept.
const LASTS: Duration = Duration::from_secs(24 * 60 * 60);
/// Requests that are known, of all and of one caller, so that nobody who asks much takes the place of all others.
const MOST: usize = 1_024;
const MOST_OF_ONE: usize = 256;
/// Octets of answers that are kept.
const MOST_OCTETS: usize = 8 << 20;

/// The key of a request, if it has one: printable, without blanks, which HTTP would take away at its ends.
pub(super) fn key(headers: &HeaderMap) -> Result<Option<String>, String> {
    let mut all = headers.get_all(KEY).iter();
    let Some(first) = all.next() else {
        return Ok(None);
    };
    let octets = first.as_bytes();
    let is_one = all.next().is_none()
        && matches!(octets.len(), 1..=LONGEST_KEY)
        && octets.iter().all(u8::is_ascii_graphic);
    match first.to_str() {
        Ok(text) if is_one => Ok(Some(text.to_owned())),
        Ok(_) | Err(_) => Err(format!(
            "{KEY} is there once, with 1 to {LONGEST_KEY} printable ASCII characters and no blank"
        )),
    }
}

/// What came of a request with a key other than that it was done; goes with the answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Repeat {
    /// It has the answer of before, and its entry in the audit log was written then.
    Replayed,
    /// It was refused for its key.
    Refused,
}

/// Requests with keys, of a node.
#[derive(Default)]
pub(super) struct Repeats(Mutex<Book>);

impl Repeats {
    fn lock(&self) -> MutexGuard<'_, Book> {
        // Never held while anything is done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request with a key of somebody.
pub(super) struct Once {
    repeats: Arc<Repeats>,
    caller: String,
    key: String,
}

impl Once {
    pub(super) fn new(repeats: &Arc<Repeats>, caller: &str, key: String) -> Self {
        let (repeats, caller) = (Arc::clone(repeats), caller.to_owned());
        Self {
            repeats,
            caller,
            key,
        }
    }

    /// Has it done, unless it is or was.
    pub(super) async fn answer(self, request: Request, next: Next) -> Response {
        let (head, body) = request.into_parts();
        let Ok(body) = to_bytes(body, usize::MAX).await else {
            let why = "the body ended too early";
            return Problem::new(StatusCode::BAD_REQUEST, why).into_response();
        };
        let query = head.uri.query().unwrap_or_default();
        let meant = head.headers.get(IF_MATCH).map(HeaderValue::as_bytes);
        let asked = Asked {
            place: Sum::of(&[
                self.caller.as_bytes(),
                self.key.as_bytes(),
                head.method.as_str().as_bytes(),
                head.uri.path().as_bytes(),
            ]),
            what: Sum::of(&[query.as_bytes(), meant.unwrap_or_default(), &body]),
            caller: self.caller,
        };
        let begun = self.repeats.lock().begin(asked, Instant::now());
        let number = match begun {
            Begun::First(number) => number,
            Begun::Again(answer) => return answer.again(),
            Begun::Running => return refused(StatusCode::CONFLICT, RUNNING),
            Begun::Another => return refused(StatusCode::UNPROCESSABLE_ENTITY, ANOTHER),
            Begun::Full => {
                let why = "too many requests with an Idempotency-Key are being done";
                return as_refused(Problem::later(why));
            }
        };
        let mut turn = Turn {
            repeats: self.repeats,
            number,
            answer: Some(Answer::broken_off()),
        };
        let request = Request::from_parts(head, Body::from(body));
        let (head, body) = next.run(request).await.into_parts();
        let Ok(body) = to_bytes(body, usize::MAX).await else {
            return Answer::broken_off().into_response();
        };
        turn.answer = is_kept(head.status).then(|| Answer {
            status: head.status,
            kind: head.headers.get(CONTENT_TYPE).cloned(),
            body: body.clone(),
        });
        drop(turn);
        Response::from_parts(head, Body::from(body))
    }
}

const RUNNING: &str =
    "the request that came first with this Idempotency-Key is still being done: ask again";
const ANOTHER: &str = "this Idempotency-Key came before with another query, If-Match or body: another request has another key";

fn refused(status: StatusCode, why: &str) -> Response {
    as_refused(Problem::new(status, why))
}

fn as_refused(problem: Problem) -> Response {
    let mut response = problem.into_response();
    response.extensions_mut().insert(Repeat::Refused);
    response
}

/// Whether an answer stays. What is refused because another person has to agree, for a while, or because it took too
/// long to come is to be tried again as it is.
fn is_kept(status: StatusCode) -> bool {
    !matches!(
        status,
        StatusCode::FORBIDDEN
            | StatusCode::REQUEST_TIMEOUT
            | StatusCode::TOO_MANY_REQUESTS
            | StatusCode::SERVICE_UNAVAILABLE
    )
}

/// The turn of whoever came first. Dropped, it says what was answered; also when the work panics.
struct Turn {
    repeats: Arc<Repeats>,
    number: u64,
    answer: Option<Answer>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        let answer = self.answer.take();
        self.repeats.lock().end(self.number, answer);
    }
}

/// What was answered.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Answer {
    status: StatusCode,
    kind: Option<HeaderValue>,
    body: Bytes,
}

impl Answer {
    /// Nobody knows what came of it: it is not done again.
    fn broken_off() -> Self {
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        let body = json!({
            "status": status.as_u16(),
            "title": status.canonical_reason(),
            "detail": "the work was broken off",
        });
        Self {
            status,
            kind: Some(HeaderValue::from_static("application/problem+json")),
            body: body.to_string().into(),
        }
    }

    fn again(self) -> Response {
        let mut response = self.into_response();
        let is_replayed = HeaderValue::from_static("true");
        response.headers_mut().insert(REPLAYED, is_replayed);
        response.extensions_mut().insert(Repeat::Replayed);
        response
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = self.status;
        if let Some(kind) = self.kind {
            response.headers_mut().insert(CONTENT_TYPE, kind);
        }
        response
    }
}

/// SHA-256 of texts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Sum([u8; 32]);

impl Sum {
    /// Each with its length before it, so that no others are the same octets.
    fn of(texts: &[&[u8]]) -> Self {
        let mut sum = Sha256::new();
        for text in texts {
            sum.update((text.len() as u64).to_be_bytes());
            sum.update(text);
        }
        Self(sum.finalize().into())
    }
}

/// Which request it is.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Asked {
    caller: String,
    /// Of caller, key, method and path.
    place: Sum,
    /// Of what has to be the same each time.
    what: Sum,
}

/// How it stands with a request.
#[derive(PartialEq, Eq, Debug)]
enum Begun {
    /// It is to be done, and this number says what was answered.
    First(u64),
    Again(Answer),
    Running,
    Another,
    /// All that there is room for are being done.
    Full,
}

struct Entry {
    number: u64,
    asked: Asked,
    began: Instant,
    /// Nothing while it is being done.
    answer: Option<Answer>,
}

/// Requests with keys, in the order in which they began.
#[derive(Default)]
struct Book {
    entries: VecDeque<Entry>,
    /// Those of all answers.
    octets: usize,
    last: u64,
}

impl Book {
    fn begin(&mut self, asked: Asked, now: Instant) -> Begun {
        self.forget_old(now);
        if let Some(own) = self
            .entries
            .iter()
            .find(|own| own.asked.place == asked.place)
        {
            return match &own.answer {
                _ if own.asked.what != asked.what => Begun::Another,
                None => Begun::Running,
                Some(answer) => Begun::Again(answer.clone()),
            };
        }
        let is_theirs = |own: &&Entry| own.asked.caller == asked.caller;
        let has_room = match self.entries.iter().filter(is_theirs).count() >= MOST_OF_ONE {
            true => self.forget_one(|own| own.asked.caller == asked.caller),
            false => self.entries.len() < MOST || self.forget_one(|_| true),
        };
        if !has_room {
            return Begun::Full;
        }
        self.last += 1;
        self.entries.push_back(Entry {
            number: self.last,
            asked,
            began: now,
            answer: None,
        });
        Begun::First(self.last)
    }

    /// It is done, and this was answered; nothing if it may be tried again.
    fn end(&mut self, number: u64, answer: Option<Answer>) {
        let Some(at) = self.entries.iter().position(|own| own.number == number) else {
            return;
        };
        let octets = answer.as_ref().map_or(0, |answer| answer.body.len());
        if answer.is_none() || octets > MOST_OCTETS {
            self.entries.remove(at);
            return;
        }
        while self.octets + octets > MOST_OCTETS && self.forget_one(|_| true) {}
        // Those that went were others: this one was being done.
        if let Some(own) = self.entries.iter_mut().find(|own| own.number == number) {
            own.answer = answer;
            self.octets += octets;
        }
    }

    /// What is being done stays, however long it takes.
    fn forget_old(&mut self, now: Instant) {
        let is_old = |own: &Entry| now.saturating_duration_since(own.began) >= LASTS;
        while self.forget_one(is_old) {}
    }

    /// Forgets the oldest of these that is done; says whether there was one.
    fn forget_one(&mut self, is_meant: impl Fn(&Entry) -> bool) -> bool {
        let is_done = |own: &Entry| own.answer.is_some() && is_meant(own);
        let Some(at) = self.entries.iter().position(is_done) else {
            return false;
        };
        let gone = self.entries.remove(at).and_then(|own| own.answer);
        self.octets -= gone.map_or(0, |answer| answer.body.len());
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(caller: &str, key: &str, body: &str) -> Asked {
        Asked {
            caller: caller.to_owned(),
            place: Sum::of(&[caller.as_bytes(), key.as_bytes(), b"POST", b"/reload"]),
            what: Sum::of(&[b"", b"", body.as_bytes()]),
        }
    }

    fn answer(octets: usize) -> Option<Answer> {
        Some(Answer {
            status: StatusCode::OK,
            kind: None,
            body: Bytes::from(vec![b'x'; octets]),
        })
    }

    /// Begins one that has to be new.
    fn first(book: &mut Book, asked: Asked, now: Instant) -> u64 {
        match book.begin(asked, now) {
            Begun::First(number) => number,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_request_with_a_key_is_done_once_and_answered_as_often_as_it_comes() {
        let (mut book, now) = (Book::default(), Instant::now());
        let one = first(&mut book, asked("noc", "k", "a"), now);
        assert_eq!(book.begin(asked("noc", "k", "a"), now), Begun::Running);
        assert_eq!(book.begin(asked("noc", "k", "b"), now), Begun::Another);
        book.end(one, answer(3));
        for _ in 0..2 {
            let again = book.begin(asked("noc", "k", "a"), now);
            assert_eq!(again, Begun::Again(answer(3).unwrap()));
        }
        assert_eq!(book.begin(asked("noc", "k", "b"), now), Begun::Another);
        // Somebody else's key, and another one, are others.
        let two = first(&mut book, asked("desk", "k", "b"), now);
        let three = first(&mut book, asked("noc", "l", "b"), now);
        assert!(one < two && two < three);
        // What may be tried again is new.
        book.end(two, None);
        first(&mut book, asked("desk", "k", "c"), now);
    }

    #[test]
    fn a_day_later_a_key_is_new_unless_its_request_is_still_being_done() {
        let (mut book, now) = (Book::default(), Instant::now());
        let one = first(&mut book, asked("noc", "k", "a"), now);
        first(&mut book, asked("noc", "slow", "a"), now);
        book.end(one, answer(3));
        let before = now + LASTS - Duration::from_secs(1);
        let again = book.begin(asked("noc", "k", "a"), before);
        assert_eq!(again, Begun::Again(answer(3).unwrap()));
        first(&mut book, asked("noc", "k", "b"), now + LASTS);
        let slow = book.begin(asked("noc", "slow", "a"), now + LASTS);
        assert_eq!(slow, Begun::Running);
        assert_eq!(book.octets, 0);
    }

    #[test]
    fn what_is_kept_has_bounds_and_the_oldest_that_is_done_goes_first() {
        let (mut book, now) = (Book::default(), Instant::now());
        let text = |number: usize| format!("{number}");
        for number in 0..MOST_OF_ONE {
            let one = first(&mut book, asked("noc", &text(number), ""), now);
            if number > 0 {
                book.end(one, answer(1));
            }
        }
        // One caller takes their own places; what is being done stays.
        first(&mut book, asked("noc", "more", ""), now);
        assert_eq!(book.entries.len(), MOST_OF_ONE);
        assert_eq!(book.begin(asked("noc", "0", ""), now), Begun::Running);
        assert_eq!(book.octets, MOST_OF_ONE - 2);
        // Others take the places that are free, and then those of what is done.
        for caller in ["a", "b", "c"] {
            for number in 0..MOST_OF_ONE {
                first(&mut book, asked(caller, &text(number), ""), now);
            }
        }
        assert_eq!((book.entries.len(), book.octets), (MOST, MOST_OF_ONE - 2));
        for number in 0..MOST_OF_ONE - 2 {
            first(&mut book, asked("d", &text(number), ""), now);
        }
        assert_eq!((book.entries.len(), book.octets), (MOST, 0));
        assert_eq!(book.begin(asked("d", "last", ""), now), Begun::Full);
    }

    #[test]
    fn octets_of_answers_have_a_bound() {
        let (mut book, now) = (Book::default(), Instant::now());
        let half = MOST_OCTETS / 2;
        for key in ["a", "b", "c"] {
            let one = first(&mut book, asked("noc", key, ""), now);
            book.end(one, answer(half));
        }
        assert_eq!((book.octets, book.entries.len()), (MOST_OCTETS, 2));
        let again = book.begin(asked("noc", "b", ""), now);
        assert_eq!(again, Begun::Again(answer(half).unwrap()));
        let one = first(&mut book, asked("noc", "a", ""), now);
        book.end(one, answer(MOST_OCTETS + 1));
        assert_eq!((book.octets, book.entries.len()), (MOST_OCTETS, 2));
    }

    #[test]
    fn whoever_breaks_off_leaves_an_answer_and_what_is_refused_for_now_does_not() {
        let repeats = Arc::new(Repeats::default());
        let now = Instant::now();
        let number = first(&mut repeats.lock(), asked("noc", "k", ""), now);
        drop(Turn {
            repeats: Arc::clone(&repeats),
            number,
            answer: Some(Answer::broken_off()),
        });
        let again = repeats.lock().begin(asked("noc", "k", ""), now);
        assert_eq!(again, Begun::Again(Answer::broken_off()));
        for (status, wanted) in [(200, true), (409, true), (422, true), (500, true)] {
            assert_eq!(is_kept(StatusCode::from_u16(status).unwrap()), wanted);
        }
        for status in [403, 408, 429, 503] {
            assert!(!is_kept(StatusCode::from_u16(status).unwrap()), "{status}");
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn while_it_is_done_the_same_request_is_told_so_and_then_it_gets_the_answer() {
        use crate::client::send;
        use axum::Router;
        use axum::middleware::from_fn;
        use axum::routing::post;
        use tokio::net::UnixListener;
        use tokio::sync::Semaphore;
        let (begun, may_end) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        let (tells, waits) = (Arc::clone(&begun), Arc::clone(&may_end));
        let deed = move || {
            let (tells, waits) = (Arc::clone(&tells), Arc::clone(&waits));
            async move {
                tells.add_permits(1);
                waits.acquire().await.unwrap().forget();
                "done"
            }
        };
        let repeats = Arc::new(Repeats::default());
        let keyed = move |request: Request, next: Next| {
            let once = Once::new(&repeats, "noc", "k".to_owned());
            async move { once.answer(request, next).await }
        };
        let path = format!("{}/deed", super::super::routes::ROOT);
        let router = Router::new().route(&path, post(deed)).layer(from_fn(keyed));
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("api.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let serving = tokio::spawn(async move { axum::serve(listener, router).await });
        let ask = |body: &'static str| {
            let socket = socket.clone();
            tokio::task::spawn_blocking(move || send(&socket, "POST", "/deed", &[], body).unwrap())
        };
        let first = ask("a");
        begun.acquire().await.unwrap().forget();
        assert_eq!(ask("a").await.unwrap().status, 409);
        assert_eq!(ask("b").await.unwrap().status, 422);
        may_end.add_permits(1);
        let first = first.await.unwrap();
        assert_eq!((first.status, first.body.as_str()), (200, "done"));
        assert_eq!(first.header(REPLAYED), None);
        let again = ask("a").await.unwrap();
        assert_eq!((again.status, again.body.as_str()), (200, "done"));
        assert_eq!(again.header(REPLAYED), Some("true"));
        assert_eq!(begun.available_permits(), 0, "it was done once");
        serving.abort();
    }

    #[test]
    fn a_key_is_one_word_of_bounded_length() {
        let told = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(KEY, HeaderValue::from_bytes(value.as_bytes()).unwrap());
            }
            key(&headers)
        };
        assert_eq!(told(&[]), Ok(None));
        let longest = "k".repeat(LONGEST_KEY);
        for fine in ["k", "\"8e03978e-40d5\"", "~!", longest.as_str()] {
            assert_eq!(told(&[fine]), Ok(Some(fine.to_owned())));
        }
        let long = format!("{longest}k");
        for bad in ["", "a b", "ä", long.as_str()] {
            assert!(told(&[bad]).unwrap_err().contains("1 to 128"), "{bad}");
        }
        assert!(told(&["a", "a"]).is_err());
    }
}
