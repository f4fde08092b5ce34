//! The subject's nodes: one more of ours, the pair of others, and what all of them say and keep.

use super::assertion;
use super::setting::{FQDN, Peers, SECOND};
use super::stage::Stage;
use super::subject::Other;
use super::verdict::{Failure, Unasked};
use super::word::Word;
use crate::ca::Identity;
use crate::lab::daemon::Daemon;
use crate::lab::fault::LabFault;
use crate::lab::place::{self, Ports};
use crate::lock::lock;
use std::collections::BTreeSet;
use std::io;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;
use tokio::time::{Instant, sleep, timeout};

/// Commands of a subject's file for what can be done with it while a case is played; each is empty if there is none.
#[derive(Clone, Default, Debug)]
pub struct Commands {
    /// Ends the active node of a pair.
    pub fail_over: Vec<String>,
    /// Ends it and starts it again.
    pub restart: Vec<String>,
    /// Puts its renewed certificate into use.
    pub renew: Vec<String>,
    /// Takes it out of service gently, and puts it back.
    pub maintenance: Vec<String>,
    /// Adds a customer, and removes it.
    pub customer: Vec<String>,
    /// Has it try what is configured wrongly.
    pub tries: Vec<String>,
    /// Prints what its operators see.
    pub logs: Vec<String>,
}

/// What a shell ends with where a command cannot be started, and ssh where nobody is reached.
const NOT_STARTED: [i32; 3] = [126, 127, 255];

/// Runs a command of the subject's file, with these words behind it, and tells how it ended; not of one that was not
/// started, did not end by itself, or not in time. What it says is nobody's report.
async fn ends(command: &[String], words: &[&str]) -> Result<ExitStatus, String> {
    let [program, arguments @ ..] = command else {
        return Err("no command".to_owned());
    };
    let mut child = Command::new(program);
    child.args(arguments).args(words).stdin(Stdio::null());
    child.stdout(Stdio::null()).stderr(Stdio::null());
    child.kill_on_drop(true);
    match timeout(CONFIGURED, child.status()).await {
        Ok(Ok(status)) => match status.code() {
            Some(code) if !NOT_STARTED.contains(&code) => Ok(status),
            _ => Err(format!("{program} ended with {status}")),
        },
        Ok(Err(why)) => Err(format!("{program}: {why}")),
        Err(_) => Err(format!("not done after {} s", CONFIGURED.as_secs())),
    }
}

async fn ends_well(command: &[String], words: &[&str]) -> Result<(), String> {
    let status = ends(command, words).await?;
    let program = command.first().map_or("", String::as_str);
    match status.success() {
        true => Ok(()),
        false => Err(format!("{program} ended with {status}")),
    }
}

fn of_command(key: &str) -> impl Fn(String) -> Failure {
    let key = key.to_owned();
    move |why| Failure::new("ladder", format!("{key}: {why}"))
}

async fn does(key: &str, command: &[String], words: &[&str]) -> Result<(), Failure> {
    ends_well(command, words).await.map_err(of_command(key))
}

/// Most octets that are kept of what a command prints: the last ones, which are the newest of a log.
const PRINTED: usize = 16 << 20;

/// The last lines of what comes, all of which is read: who prints is not held up.
async fn last_of(mut from: impl AsyncRead + Unpin, most: usize) -> io::Result<Vec<u8>> {
    let (mut kept, mut chunk, mut is_cut) = (Vec::new(), vec![0; 64 << 10], false);
    loop {
        let read = from.read(&mut chunk).await?;
        kept.extend_from_slice(&chunk[..read]);
        if kept.len() > 2 * most || read == 0 {
            is_cut |= kept.len() > most;
            kept.drain(..kept.len().saturating_sub(most));
        }
        if read == 0 {
            break;
        }
    }
    if is_cut {
        // What is left of a line says something else than the line.
        let end = kept.iter().position(|octet| *octet == b'\n');
        kept.drain(..end.map_or(kept.len(), |end| end + 1));
    }
    Ok(kept)
}

/// The lines that are written to their end; a text without any is one.
fn whole(text: &str) -> &str {
    text.rfind('\n').map_or(text, |end| &text[..=end])
}

/// What a command has printed.
struct Said {
    code: Option<i32>,
    out: String,
    errors: String,
}

impl Said {
    fn text(&self) -> String {
        format!("{}{}", self.out, self.errors)
    }
}

/// What a command of the subject's file prints, with these words behind it, and how it ends.
async fn says(key: &str, command: &[String], words: &[&str]) -> Result<Said, Failure> {
    let failed = of_command(key);
    let [program, arguments @ ..] = command else {
        return Err(failed("no command".to_owned()));
    };
    let mut child = Command::new(program);
    child.args(arguments).args(words).stdin(Stdio::null());
    child.stdout(Stdio::piped()).stderr(Stdio::piped());
    child.kill_on_drop(true);
    let prints = async {
        let mut child = child.spawn()?;
        let no_pipe = || io::Error::other("no pipe");
        let said = child.stdout.take().ok_or_else(no_pipe)?;
        let complained = child.stderr.take().ok_or_else(no_pipe)?;
        let (said, complained) =
            tokio::try_join!(last_of(said, PRINTED), last_of(complained, PRINTED))?;
        Ok((child.wait().await?, said, complained))
    };
    let ended: Result<io::Result<_>, _> = timeout(CONFIGURED, prints).await;
    let late = |_| failed(format!("not done after {} s", CONFIGURED.as_secs()));
    let ended = ended.map_err(late)?;
    let (status, said, complained) = ended.map_err(|why| failed(format!("{program}: {why}")))?;
    let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
    Ok(Said {
        code: status.code(),
        out: text(&said),
        errors: text(&complained),
    })
}

impl Other {
    /// Has it configured as these words say, where the file tells how.
    ///
    /// # Errors
    /// [`LabFault::System`].
    pub(super) async fn is_configured_as(&self, words: &[Word]) -> Result<(), LabFault> {
        if self.configure.is_empty() {
            return Ok(());
        }
        let names: Vec<&str> = words.iter().map(|word| word.name).collect();
        let ended = ends_well(&self.configure, &names).await;
        ended.map_err(|why| LabFault::System {
            what: "configure the subject as its file says",
            why: io::Error::other(why),
        })
    }

    /// Takes back what a case has left of what it did to it, however it ended.
    ///
    /// # Errors
    /// The rule `ladder`, with all that could not be taken back.
    pub(super) async fn is_put_back(&self) -> Result<(), Failure> {
        let last = || lock(&self.undone).last().copied();
        let mut left = Vec::new();
        while let Some(what) = last() {
            let done = match what {
                Done::Maintenance => {
                    does("maintenance", &self.commands.maintenance, &["end"]).await
                }
                Done::Customer => does("customer", &self.commands.customer, &["remove"]).await,
                // Without the command it keeps the one that it has, which its name is in.
                Done::Renewed if self.configure.is_empty() => Ok(()),
                Done::Renewed => does("configure", &self.configure, &[]).await,
            };
            left.extend(done.err().map(|failure| failure.why));
            // Not before: whoever is interrupted in it does it again.
            lock(&self.undone).remove(&what);
        }
        match left.is_empty() {
            true => Ok(()),
            false => {
                let why = format!("the subject is left as it is: {}", left.join("; "));
                Err(Failure::new("ladder", why))
            }
        }
    }
}

/// What a case has done to somebody else's SBC, and what would be in the way of others.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Done {
    /// It has another certificate.
    Renewed,
    /// It has a customer more.
    Customer,
    /// It is out of service.
    Maintenance,
}

/// What is to be taken back; also what was not done to its end is.
pub(super) type Undone = BTreeSet<Done>;

/// What became of something that is configured wrongly.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Taken {
    /// It is in force, and nobody is told.
    Silently,
    /// It is in force, and the operator is warned.
    WithWarning,
    /// It is not.
    Refused,
}

/// Longest time until a subject is configured.
const CONFIGURED: Duration = Duration::from_secs(120);

impl Stage {
    /// Starts one more node of ours, with the second name and place.
    ///
    /// # Errors
    /// [`LabFault`].
    pub async fn starts_second_node(&self) -> Result<Arc<Daemon>, LabFault> {
        let system = |why: io::Error| LabFault::System {
            what: "start a second node",
            why,
        };
        let (Some(program), Some(first)) = (&self.program, self.folder()) else {
            return Err(system(io::Error::other("the subject is not ours")));
        };
        self.has_name(SECOND);
        let folder = first.join("second");
        std::fs::create_dir_all(&folder).map_err(system)?;
        for name in ["ca.pem", "sbc.pem", "sbc.key"] {
            std::fs::copy(first.join(name), folder.join(name)).map_err(system)?;
        }
        let at = |index: usize| self.proxies[index].address();
        let peers = Peers {
            names: None,
            branch: None,
            microsoft: None,
            carriers: [self.carriers[0].address(), self.carriers[1].address()],
            proxies: [at(0), at(1), at(2)],
            elsewhere: at(3),
        };
        let mut ports = Ports::choose(&self.addresses, None)?;
        ports.tls = self.second_side;
        let text = self
            .setting
            .write(&folder, &self.addresses, &ports, &peers)
            .replace(FQDN, SECOND)
            .replace("id = \"certified\"", "id = \"second\"")
            .replace("20000-24999", "30000-31999")
            .replace("25000-29999", "32000-32499");
        place::write(&folder, "causeway.toml", &text)?;
        let daemon = Daemon::start(program, &folder, ports.metrics, false).await?;
        let daemon = Arc::new(daemon);
        lock(&self.more_nodes).push(Arc::clone(&daemon));
        Ok(daemon)
    }

    /// What every node of ours says together.
    ///
    /// # Errors
    /// [`LabFault::Unanswered`].
    pub async fn ask_all(&self, path: &str) -> Result<Vec<String>, LabFault> {
        let mut told = vec![self.ask(path).await?];
        let more = lock(&self.more_nodes).clone();
        for daemon in more {
            told.push(self.as_told(daemon.ask(path).await?));
        }
        Ok(told)
    }

    /// The records that our daemon has written into files.
    pub(super) fn spooled(&self) -> String {
        let Some(spool) = self.folder().map(|folder| folder.join("cdr")) else {
            return String::new();
        };
        let files = std::fs::read_dir(spool).into_iter().flatten().flatten();
        let texts = files.filter_map(|file| std::fs::read_to_string(file.path()).ok());
        texts.collect()
    }

    /// Whether another node stands ready to take over.
    pub fn is_pair(&self) -> bool {
        !self.commands.fail_over.is_empty()
    }

    /// Takes the active node of a pair away, as the subject's file says. One that is alone crashes and is started again.
    ///
    /// # Errors
    /// The rule `ladder`.
    pub async fn loses_a_node(&self) -> Result<(), Failure> {
        match &self.daemon {
            Some(daemon) => Ok(daemon.crash().await?),
            None if self.is_pair() => does("fail_over", &self.commands.fail_over, &[]).await,
            None => does("restart", &self.commands.restart, &[]).await,
        }
    }

    /// Ends the subject and starts it again: ours as a service manager does, another as its file says.
    ///
    /// # Errors
    /// The rule `ladder`.
    pub async fn restarts(&self) -> Result<(), Failure> {
        match &self.daemon {
            Some(daemon) => Ok(daemon.restart().await?),
            None => does("restart", &self.commands.restart, &[]).await,
        }
    }

    /// Puts a renewed certificate of the subject into use: of ours this one, of another that with this name
    /// in the folder of certificates. Another may say that it does not use it: its connections show what it does.
    ///
    /// # Errors
    /// The rule `ladder`.
    pub async fn renews(&self, name: &str, renewed: &Identity) -> Result<(), Failure> {
        let Some(folder) = self.folder() else {
            lock(&self.undone).insert(Done::Renewed);
            let ended = ends(&self.commands.renew, &[name]).await;
            let status = ended.map_err(of_command("renew"))?;
            if !status.success() {
                self.note(format!("renew {name}: ended with {status}"));
            }
            return Ok(());
        };
        place::write(folder, "sbc.pem", &renewed.chain_pem)?;
        place::write(folder, "sbc.key", &renewed.key_pem)?;
        self.tell("/reload").await?;
        Ok(())
    }

    /// Takes the subject out of service gently, or puts it back into service. One of ours is not put back: it ends with
    /// its case.
    ///
    /// # Errors
    /// The rule `ladder`.
    pub async fn maintains(&self, word: &str) -> Result<(), Failure> {
        match (&self.daemon, word) {
            (Some(_), "begin") => self.tell("/drain").await.map(drop).map_err(Failure::from),
            (Some(_), _) => Ok(()),
            (None, _) => {
                let command = &self.commands.maintenance;
                self.does_for_now(Done::Maintenance, "maintenance", command, word, "end")
                    .await
            }
        }
    }

    /// Does what is taken back with this word.
    async fn does_for_now(
        &self,
        what: Done,
        key: &str,
        command: &[String],
        word: &str,
        back: &str,
    ) -> Result<(), Failure> {
        lock(&self.undone).insert(what);
        does(key, command, &[word]).await?;
        if word == back {
            lock(&self.undone).remove(&what);
        }
        Ok(())
    }

    /// Adds a customer of another subject, or removes it.
    ///
    /// # Errors
    /// The rule `ladder`.
    pub(super) async fn customer(&self, word: &str) -> Result<(), Failure> {
        let command = &self.commands.customer;
        self.does_for_now(Done::Customer, "customer", command, word, "remove")
            .await
    }

    /// Has another subject try what is configured wrongly.
    ///
    /// # Errors
    /// The rule `ladder`, where that cannot be known.
    pub(super) async fn tries(&self, words: &[&str]) -> Result<(Taken, String), Failure> {
        let said = says("tries", &self.commands.tries, words).await?;
        let (code, text) = (said.code, said.text());
        let taken = match code {
            Some(0) => Taken::Silently,
            Some(1) => Taken::WithWarning,
            Some(2) => Taken::Refused,
            _ => {
                let why = format!(
                    "tries {}: ended with {code:?}, wanted 0 (taken), 1 (taken with a warning) or 2 (refused): {text}",
                    words.join(" ")
                );
                return Err(Failure::new("ladder", why));
            }
        };
        Ok((taken, self.as_told(text)))
    }

    /// Another subject does not take what is configured wrongly without a word.
    ///
    /// # Errors
    /// The rule `ladder`, where that cannot be known.
    pub(super) async fn complains(&self, rule: &str, words: &[&str]) -> Result<(), Failure> {
        let (taken, text) = self.tries(words).await?;
        self.check(rule, taken != Taken::Silently, || {
            let what = words.join(" ");
            format!("\"{what}\" is taken, and nobody is warned: {text}")
        });
        Ok(())
    }

    /// What a certificate is called that the run puts into the folder of certificates: in that of an operator nothing of
    /// his is in its place.
    pub(super) fn laid(&self, name: &str) -> String {
        match self.folder() {
            Some(_) => name.to_owned(),
            None => format!("certify-{name}"),
        }
    }

    /// Puts a certificate into the subject's folder of certificates, under the name that [`Stage::laid`] says.
    ///
    /// # Errors
    /// The rule `ladder`.
    pub(super) fn lays(&self, name: &str, identity: &Identity) -> Result<(), Failure> {
        let name = self.laid(name);
        let folder = self.folder().or(self.certificates.as_deref());
        let folder = folder.ok_or_else(|| Failure::new("ladder", "the subject has no folder"))?;
        place::write(folder, &format!("{name}.pem"), &identity.chain_pem)?;
        place::write(folder, &format!("{name}.key"), &identity.key_pem)?;
        Ok(())
    }

    /// What another subject tells its operators, once that is as wanted; else what it told last.
    ///
    /// # Errors
    /// The rule `ladder`, where it cannot be read.
    pub(super) async fn logs_until(
        &self,
        patience: Duration,
        is_it: impl Fn(&str) -> bool,
    ) -> Result<String, Failure> {
        let deadline = Instant::now() + patience;
        loop {
            let text = self.logs().await?;
            if is_it(&text) || Instant::now() > deadline {
                return Ok(text);
            }
            sleep(Duration::from_secs(1)).await;
        }
    }

    /// What another subject tells its operators, in whole lines.
    ///
    /// # Errors
    /// The rule `ladder`, where it cannot be read.
    pub(super) async fn logs(&self) -> Result<String, Failure> {
        let said = says("logs", &self.commands.logs, &[]).await?;
        match said.code {
            Some(0) => Ok(self.as_told(whole(&said.out).to_owned() + whole(&said.errors))),
            code => {
                let why = format!("logs: ended with {code:?}: {}", said.text());
                Err(Failure::new("ladder", why))
            }
        }
    }

    /// The rules that cannot be asked about: those on what is left afterwards, of somebody else's SBC or
    /// after a case that ended early.
    pub fn unasked(&self, ended_by: Option<&Failure>) -> Vec<Unasked> {
        let why = match (&self.daemon, ended_by) {
            (None, _) => {
                "what this subject keeps afterwards cannot be read from outside".to_owned()
            }
            (Some(_), Some(failure)) => format!("the case ended early ({})", failure.rule),
            (Some(_), None) => return Vec::new(),
        };
        let rules = assertion::OF_TRACES.into_iter();
        let unasked = |rule| Unasked {
            rule,
            why: why.clone(),
        };
        rules.map(unasked).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certify::fake::Fake;

    #[tokio::test]
    async fn of_what_a_command_prints_the_end_is_kept() {
        for (text, most, wanted) in [
            ("ab\ncd\nef\n", 9, "ab\ncd\nef\n"),
            ("ab\ncd\nef\n", 8, "cd\nef\n"),
            ("ab\ncd\nef\n", 5, "ef\n"),
            ("ab\ncd\nef", 4, "ef"),
            ("abcdef", 6, "abcdef"),
            ("abcdef", 5, ""),
        ] {
            let kept = last_of(text.as_bytes(), most).await.unwrap();
            assert_eq!(String::from_utf8(kept).unwrap(), wanted, "{text:?} {most}");
        }
        let script = "head -c 40000000 /dev/zero; echo; echo newest; echo worst >&2; exit 3";
        let command = ["/bin/sh", "-c", script].map(str::to_owned);
        let said = says("logs", &command, &[]).await.unwrap();
        assert_eq!(said.code, Some(3));
        assert_eq!(said.text(), "newest\nworst\n");
    }

    #[test]
    fn a_line_that_is_being_written_is_no_line_yet() {
        assert_eq!(whole("one\ntw"), "one\n");
        assert_eq!(whole("one\n"), "one\n");
        assert_eq!(whole("{}"), "{}");
    }

    #[tokio::test]
    async fn a_command_that_was_not_started_is_told_apart_from_one_that_says_no() {
        let command = |script: &str| ["/bin/sh", "-c", script].map(str::to_owned);
        let ended = ends(&command("exit 3"), &[]).await;
        assert_eq!(ended.unwrap().code(), Some(3));
        let why = ends_well(&command("exit 3"), &[]).await.unwrap_err();
        assert!(why.contains("/bin/sh ended with"), "{why}");
        for script in ["/nowhere/at/all", "exit 255", "kill -9 $$"] {
            assert!(ends(&command(script), &[]).await.is_err(), "{script}");
        }
        assert!(ends(&["/nowhere/at/all".to_owned()], &[]).await.is_err());
    }
    #[tokio::test]
    async fn who_refuses_a_certificate_is_noted_and_who_cannot_be_asked_ends_the_case() {
        let script = "case $1 in refused) exit 3 ;; *) exit 127 ;; esac";
        let fake = Fake::new(&[("renew", script)]);
        let stage = fake.stage("TC-CON-034").await;
        let any = stage.identity.clone();
        stage.renews("refused", &any).await.unwrap();
        let notes = stage.notes();
        assert!(notes[0].contains("renew refused: ended with"), "{notes:?}");
        let failure = stage.renews("renewed", &any).await.unwrap_err();
        assert!(failure.why.contains("renew: /bin/sh ended"), "{failure}");
    }

    #[tokio::test]
    async fn the_proxies_listen_when_another_subject_is_configured() {
        let script = "! grep -q \"$listens\" /proc/net/tcp || : >met";
        let fake = Fake::new(&[("configure", script)]);
        let _stage = fake.stage("TC-OPT-012").await;
        assert!(fake.has("met"));
    }
}
