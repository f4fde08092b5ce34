//! What an SBC of others tells its operators: the lines of its `logs` that are new, and what they say of a proxy.

use super::stage::Stage;
use super::verdict::Failure;
use std::collections::{BTreeMap, BTreeSet};

/// In how many lines around a status its name is looked for: a trace has them in lines of their own.
const NEAR: usize = 20;

/// The lines that further readings have and the one before has not. What goes away, as the first lines of a window do, is
/// no news.
pub(super) struct News {
    last: BTreeMap<String, usize>,
    lines: Vec<String>,
}

impl News {
    /// From this reading on.
    fn since(text: &str) -> Self {
        let mut news = Self {
            last: BTreeMap::new(),
            lines: Vec::new(),
        };
        news.reads(text);
        news.lines.clear();
        news
    }

    fn reads(&mut self, text: &str) {
        let mut now = BTreeMap::new();
        for line in text.lines() {
            let many = now.entry(line.to_owned()).or_insert(0);
            *many += 1;
            if *many > self.last.get(line).copied().unwrap_or_default() {
                self.lines.push(line.to_owned());
            }
        }
        self.last = now;
    }

    /// All of them, in the order in which they were read.
    pub(super) fn lines(&self) -> &[String] {
        &self.lines
    }
}

impl Stage {
    /// What another subject tells its operators from now on.
    ///
    /// # Errors
    /// The rule `ladder`, where it cannot be read.
    pub(super) async fn news(&self) -> Result<News, Failure> {
        Ok(News::since(&self.logs().await?))
    }

    /// Reads it once more.
    ///
    /// # Errors
    /// The rule `ladder`, where it cannot be read.
    pub(super) async fn hears(&self, news: &mut News) -> Result<(), Failure> {
        news.reads(&self.logs().await?);
        Ok(())
    }

    /// By what a line may tell of each proxy: its name, and its address where no other has the same.
    pub(super) fn names_of_proxies(&self) -> Vec<Vec<String>> {
        let proxies = &self.proxies[..3];
        let ip = |index: usize| proxies[index].address().ip();
        let is_own = |index: usize| (0..3).all(|other| other == index || ip(other) != ip(index));
        let names = (0..3).map(|index| {
            let host = proxies[index].host().to_owned();
            let ip = is_own(index).then(|| ip(index).to_string());
            [host].into_iter().chain(ip).collect()
        });
        names.collect()
    }
}

/// What is told of a proxy that falls silent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Told {
    /// What is told of none that answers.
    Silence,
    /// The same as of one that answers.
    Nothing,
    /// Of those that answer something else is told each time.
    Anything,
}

/// What is told of the proxy with this number since it is silent, when the others answer still: nothing like it was told
/// before, and nothing like it is told of them. Where something is told of one of the others that was told of none,
/// words that were met once are no words: they identify a message.
pub(super) fn of_silence(
    usual: &[String],
    since: &[String],
    names: &[Vec<String>],
    silent: usize,
) -> Told {
    for drops in [false, true] {
        let forms = Forms::of(usual, since, names, drops);
        let mut others = (0..names.len()).filter(|other| *other != silent);
        if !others.any(|other| forms.are_apart(other, Some(silent))) {
            return match forms.are_apart(silent, None) {
                true => Told::Silence,
                false => Told::Nothing,
            };
        }
    }
    Told::Anything
}

/// What the lines say that tell of proxies, whichever it is.
struct Forms {
    usual: BTreeSet<String>,
    /// Each with the numbers of those that it tells of.
    since: Vec<(String, BTreeSet<usize>)>,
}

impl Forms {
    fn of(usual: &[String], since: &[String], names: &[Vec<String>], drops: bool) -> Self {
        let whom = |line: &String| -> BTreeSet<usize> {
            let named = |own: &Vec<String>| own.iter().any(|name| is_named(line, name));
            (0..names.len()).filter(|own| named(&names[*own])).collect()
        };
        let read = |lines: &[String]| -> Vec<(Vec<String>, BTreeSet<usize>)> {
            let own = lines.iter().map(|line| (line, whom(line)));
            own.filter(|(_, whom)| !whom.is_empty())
                .map(|(line, whom)| (words(line, names), whom))
                .collect()
        };
        let phases = [read(usual), read(since)];
        // Where each word was met: when, and of whom.
        let mut met: BTreeMap<&str, BTreeSet<(usize, &BTreeSet<usize>)>> = BTreeMap::new();
        for (phase, lines) in phases.iter().enumerate() {
            for (words, whom) in lines {
                for word in words {
                    met.entry(word).or_default().insert((phase, whom));
                }
            }
        }
        let form = |words: &[String]| {
            let kept = words.iter().map(String::as_str);
            let kept = kept.filter(|word| !drops || met[word].len() > 1);
            kept.collect::<Vec<_>>().join(" ")
        };
        let [usual, since] = &phases;
        Self {
            usual: usual.iter().map(|(words, _)| form(words)).collect(),
            since: since
                .iter()
                .map(|(words, whom)| (form(words), whom.clone()))
                .collect(),
        }
    }

    /// Whether something is told of this one that is usual for nobody and told of no other; what is told of `but` as well
    /// is its.
    fn are_apart(&self, own: usize, but: Option<usize>) -> bool {
        let of = |whom: &BTreeSet<usize>| {
            whom.contains(&own) && !but.is_some_and(|but| whom.contains(&but))
        };
        let others = self.since.iter().filter(|(_, whom)| !whom.contains(&own));
        let others: BTreeSet<&str> = others.map(|(form, _)| form.as_str()).collect();
        let mut lines = self.since.iter().filter(|(_, whom)| of(whom));
        lines.any(|(form, _)| !self.usual.contains(form) && !others.contains(form.as_str()))
    }
}

/// The words of a line, without those that have digits: times, counts and what identifies a message differ always. A
/// status stays.
fn words(line: &str, names: &[Vec<String>]) -> Vec<String> {
    let names = names.iter().flatten();
    let line = names.fold(line.to_owned(), |line, name| line.replace(name, "proxy"));
    let at = |word: &str| word.as_ptr().addr() - line.as_ptr().addr();
    let is_status = |word: &str| {
        word.len() == 3
            && word
                .parse::<u16>()
                .is_ok_and(|code| (200..700).contains(&code))
            && is_apart(&line, at(word), 3)
    };
    let words = line.split(|one: char| !one.is_alphanumeric());
    let words = words.filter(|word| {
        !word.is_empty() && !word.contains(|one: char| one.is_ascii_digit()) || is_status(word)
    });
    words.map(str::to_owned).collect()
}

/// Whether a line has a name as such, no part of a longer one.
fn is_named(line: &str, name: &str) -> bool {
    let joins = |one: char| one.is_alphanumeric() || one == '-';
    line.match_indices(name).any(|(at, _)| {
        let mut after = line[at + name.len()..].chars();
        let (next, second) = (after.next(), after.next());
        let goes_on = next.is_some_and(joins) || next == Some('.') && second.is_some_and(joins);
        let before = line[..at].chars().next_back();
        !goes_on && !before.is_some_and(|one| joins(one) || one == '.')
    })
}

/// Whether a number there is a word of its own: no part of another one, of a time, a length of time or a process's name.
fn is_apart(line: &str, at: usize, length: usize) -> bool {
    let (before, after) = (
        &line.as_bytes()[..at],
        line.as_bytes().get(at + length..).unwrap_or_default(),
    );
    let joins = |one: Option<&u8>| one.is_some_and(|one| b".,:-+".contains(one));
    let is_digit = |one: Option<&u8>| one.is_some_and(u8::is_ascii_digit);
    let is_word =
        |one: Option<&u8>| one.is_some_and(|one| one.is_ascii_alphanumeric() || *one == b'_');
    let last = before.last();
    let second = before.len().checked_sub(2).and_then(|at| before.get(at));
    let goes_on = is_word(after.first()) || joins(after.first()) && is_digit(after.get(1));
    let is_time = after.trim_ascii_start().starts_with(b"ms");
    let is_process = last == Some(&b'[') && after.first() == Some(&b']');
    !(is_word(last) || joins(last) && is_digit(second) || goes_on || is_time || is_process)
}

/// Whether a status is told, in a line of its own or in one that is near to a line with one of these names.
pub(super) fn has_status(lines: &[String], status: &str, names: &[String]) -> bool {
    let is_told = |line: &String| {
        let mut all = line.match_indices(status);
        all.any(|(at, _)| is_apart(line, at, status.len()))
    };
    let is_of = |line: &String| names.iter().any(|name| is_named(line, name));
    let told = lines.iter().enumerate().filter(|(_, line)| is_told(line));
    let mut near = told.map(|(at, _)| {
        let last = lines.len().min(at + NEAR + 1);
        &lines[at.saturating_sub(NEAR)..last]
    });
    near.any(|near| near.iter().any(is_of))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(|line| line.trim().to_owned()).collect()
    }

    fn names() -> Vec<Vec<String>> {
        let names = ["sip", "sip2", "sip3"].iter().zip(21..);
        let names = names
            .map(|(name, last)| vec![format!("{name}.pstnhub.example"), format!("192.0.2.{last}")]);
        names.collect()
    }

    /// What one tells of each proxy with a line each, of the second another one.
    fn told(usual: fn(&str) -> String, silent: &str) -> Told {
        let hosts = names().into_iter().map(|own| own[0].clone());
        let hosts: Vec<String> = hosts.collect();
        let before: Vec<String> = hosts.iter().flat_map(|host| lines(&usual(host))).collect();
        let mut since = lines(&usual(&hosts[0]));
        since.extend(lines(silent));
        since.extend(lines(&usual(&hosts[2])));
        of_silence(&before, &since, &names(), 1)
    }

    fn word() -> String {
        let digits = crate::random::word::<12>().into_bytes();
        let letters = digits
            .into_iter()
            .map(|digit| char::from(b'a' + digit % 26));
        letters.collect()
    }

    #[test]
    fn of_a_silent_proxy_something_is_told_that_is_told_of_no_other() {
        let plain = |host: &str| {
            let time = crate::random::bytes::<1>()[0];
            format!("12:00:01.{time} OPTIONS c4{time}@sbc to {host}:5061 answered 200 in {time}ms")
        };
        for (silent, wanted) in [
            (
                "12:01:07 OPTIONS 77c@sbc to sip2.pstnhub.example:5061 not answered",
                Told::Silence,
            ),
            ("ALARM 192.0.2.22 unreachable", Told::Silence),
            (
                "12:01:07 OPTIONS 77c@sbc to sip2.pstnhub.example:5061 answered 408 in 3ms",
                Told::Silence,
            ),
            (
                "12:01:07 OPTIONS 77c@sbc to sip2.pstnhub.example:5061 answered 200 in 3ms",
                Told::Nothing,
            ),
            (
                "12:01:07 OPTIONS 77c@sbc to sip22.pstnhub.example:5061 not answered",
                Told::Nothing,
            ),
            ("192.0.2.221 unreachable", Told::Nothing),
            ("", Told::Nothing),
        ] {
            assert_eq!(told(plain, silent), wanted, "{silent}");
        }
        // All of them in one line.
        let text = "sip.pstnhub.example up, sip2.pstnhub.example down, sip3.pstnhub.example up";
        assert_eq!(told(plain, text), Told::Silence);
        let text = "reloaded sip.pstnhub.example\nreloaded sip2.pstnhub.example\nreloaded sip3.pstnhub.example";
        assert_eq!(told(plain, text), Told::Nothing);
    }

    #[test]
    fn words_that_identify_a_message_tell_nothing() {
        let with_id = |host: &str| {
            let id = word();
            format!("sent OPTIONS {id} to {host}\n{host} answered {id} with 200")
        };
        let sent = format!("sent OPTIONS {} to sip2.pstnhub.example", word());
        assert_eq!(told(with_id, &sent), Told::Nothing);
        let lost = format!("{sent}\nno answer from sip2.pstnhub.example");
        assert_eq!(told(with_id, &lost), Told::Silence);
        // So much is told of each that nobody can say what it is.
        let at_random = |host: &str| {
            let many = 1 + usize::from(crate::random::bytes::<1>()[0]);
            format!("{host} {}", "sip ".repeat(many))
        };
        let mut found = BTreeSet::new();
        for _ in 0..20 {
            found.insert(told(at_random, "sip2.pstnhub.example no answer") == Told::Anything);
        }
        assert!(found.contains(&true));
    }

    #[test]
    fn what_is_told_is_new_after_the_first_reading_however_much_of_it_goes_away() {
        let mut news = News::since("one\ntwo\ntwo\nthree\n");
        news.reads("two\nthree\nfour\n");
        assert_eq!(news.lines(), ["four"]);
        news.reads("three\nfour\nfour\ntwo\n");
        assert_eq!(news.lines(), ["four", "four"]);
        // What was gone is new when it comes again.
        news.reads("one\n");
        assert_eq!(news.lines(), ["four", "four", "one"]);
    }

    #[test]
    fn a_status_is_a_word_of_its_own_near_a_name() {
        let names = ["sip.pstnhub.example", "192.0.2.21", "sbc1.test.example"].map(str::to_owned);
        let far = "-\n".repeat(NEAR + 1);
        for (text, is_told) in [
            ("sip.pstnhub.example answered 403", true),
            ("status=403, sbc1.test.example is unknown to Teams", true),
            ("sip.pstnhub.example:5061: 403.", true),
            ("{\"proxy\":\"sip.pstnhub.example\",\"status\":403}", true),
            ("ALARM 192.0.2.21: 403 Forbidden", true),
            (
                "SIP/2.0 403 Forbidden\nVia: SIP/2.0/TLS sbc1.test.example:5061",
                true,
            ),
            (
                "OPTIONS sip:sip.pstnhub.example SIP/2.0\n\n\nSIP/2.0 403 Forbidden",
                true,
            ),
            (
                &format!("SIP/2.0 403 Forbidden\n{far}sbc1.test.example"),
                false,
            ),
            ("somebody answered 403", false),
            ("sip.pstnhub.example answered 1403", false),
            ("sip.pstnhub.example answered 200 in 403 ms", false),
            ("sip.pstnhub.example answered 200 in 403ms", false),
            ("sbc[403]: sip.pstnhub.example answered 200", false),
            ("12:00:00.403 sip.pstnhub.example answered 200", false),
            (
                "2026-01-01T12:00:00.403Z sip.pstnhub.example answered 200",
                false,
            ),
            ("call 403a of sbc1.test.example", false),
            ("sip.pstnhub.example:5061 port 40301", false),
            ("192.0.2.210 answered 403", false),
        ] {
            assert_eq!(has_status(&lines(text), "403", &names), is_told, "{text}");
        }
    }
}
