//! What a reload changes of places outside of this process while calls run (OPS-121): addresses and ports of media, where
//! call records are written, where metrics are served, and which servers of DNS are asked.
//!
//! | what            | tried before                       | then                                                     |
//! |-----------------|------------------------------------|----------------------------------------------------------|
//! | realms          | each address is bound once         | new calls have the new ports, calls in progress theirs    |
//! | `[cdr]`         | a file is made there, and a thread | begun, moved, or ended once what waits is written         |
//! | `[metrics]`     | the new address is bound           | the old one is closed once its last request is answered   |
//! | `[dns]`         | nothing: servers may come and go   | the next question goes to the new servers                 |

use super::reload::{ReloadFault, aside};
use super::stop::ANSWER;
use super::{Daemon, PlaceFault, capacity, media};
use crate::admin::{AdminFault, FigureDoor, FormerFigures};
use crate::sink::cdr::{Cdr, Ready};
use sbc_core::config::{CdrSpool, Changes, Loaded};
use sbc_core::input::{Answered, Command, Input};
use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

/// What was opened for a configuration. Dropped, it leaves nothing behind.
#[derive(Default)]
pub(super) struct Places {
    /// Where metrics are served from now on, if that changes.
    figures: Option<Option<FigureDoor>>,
    /// Who writes call records from now on, where nobody did.
    records: Option<Ready>,
}

impl Daemon {
    /// Tries all of them.
    ///
    /// # Errors
    /// [`ReloadFault::Places`] and [`ReloadFault::Realms`]; nothing has changed.
    pub(super) async fn try_places(
        &self,
        running: &Loaded,
        loaded: &Loaded,
        changes: &Changes,
    ) -> Result<Places, ReloadFault> {
        let mut faults = Vec::new();
        if !changes.realms.is_empty() {
            faults.extend(media::unusable(loaded).into_iter().map(PlaceFault::Media));
        }
        if changes.cdr
            && let Some(spool) = &loaded.shell.cdr
        {
            let directory = PathBuf::from(&spool.directory);
            let tried =
                aside(move || Ok(Cdr::try_directory(&directory).err().zip(Some(directory))));
            let fault = tried.await?;
            faults.extend(fault.map(|(why, directory)| PlaceFault::Records { directory, why }));
        }
        let mut places = Places::default();
        let begins_records = changes.cdr && self.sinks().cdr.get().is_none();
        if let Some(spool) = &loaded.shell.cdr
            && begins_records
        {
            match self.ready_records(spool.clone()).await? {
                Ok(ready) => places.records = Some(ready),
                Err(fault) => faults.push(fault),
            }
        }
        if changes.metrics {
            match self.try_figures(running, loaded).await {
                Ok(door) => places.figures = Some(door),
                Err(fault) => faults.push(PlaceFault::Admin(fault)),
            }
        }
        if !faults.is_empty() {
            return Err(ReloadFault::Places(faults));
        }
        if !changes.realms.is_empty()
            && let Some(relay) = self.relay.upgrade()
        {
            let realms = media::realms(&loaded.config);
            let names = media::names(&loaded.config);
            let named = move |why: String| ReloadFault::Realms(media::named(why, &names));
            aside(move || relay.try_realms(&realms).map_err(named)).await?;
        }
        Ok(places)
    }

    /// Makes ready who is to write call records: once it is taken nothing waits for a disk, and no thread can be missing.
    async fn ready_records(
        &self,
        spool: CdrSpool,
    ) -> Result<Result<Ready, PlaceFault>, ReloadFault> {
        // One that was ended a moment ago may write still.
        if !self.sinks().cdr.ended().await {
            return Ok(Err(PlaceFault::RecordsStillWritten));
        }
        let (records, log) = (self.sinks().cdr.clone(), self.sinks().log.clone());
        let metrics = Arc::clone(&self.sinks().metrics);
        aside(move || {
            let ready = records.ready(&spool, metrics, log);
            Ok(ready.map_err(PlaceFault::RecordsThread))
        })
        .await
    }

    /// Opens the new address of metrics, if there is one; one that stays is shared with who serves it now.
    async fn try_figures(
        &self,
        running: &Loaded,
        loaded: &Loaded,
    ) -> Result<Option<FigureDoor>, AdminFault> {
        let Some(wanted) = &loaded.shell.metrics else {
            return Ok(None);
        };
        let before = running.shell.metrics.as_ref();
        let stays = before.is_some_and(|before| before.address == wanted.address);
        let former = match self.figures_socket() {
            None => FormerFigures::None,
            Some(socket) if stays => FormerFigures::Stays(socket),
            Some(socket) => FormerFigures::Goes(socket),
        };
        let door = FigureDoor::open(wanted, former, &self.sinks().log).await;
        let address = wanted.address;
        door.map(Some)
            .map_err(|why| AdminFault::Metrics { address, why })
    }

    fn figures_socket(&self) -> Option<std::net::TcpListener> {
        self.parts().as_ref()?.admin.figures_socket()
    }

    /// Takes them into use. Nothing of it can fail.
    pub(super) fn take_places(&self, changes: &Changes, loaded: &Loaded, places: Places) {
        if !changes.realms.is_empty()
            && let Some(relay) = self.relay.upgrade()
        {
            self.media_names
                .store(Arc::new(media::names(&loaded.config)));
            relay.set_realms(media::realms(&loaded.config));
        }
        if let Some(relay) = self.relay.upgrade() {
            capacity::tell_change(&self.sinks().log, &self.loaded(), loaded, &relay);
        }
        if changes.dns {
            self.resolver().ask_from_now_on(&loaded.shell.dns);
        }
        if changes.cdr {
            self.take_records(loaded, places.records);
        }
        if let Some(door) = places.figures
            && let Some(parts) = self.parts().as_mut()
        {
            parts.admin.serve_figures(self, door);
        }
    }

    fn take_records(&self, loaded: &Loaded, ready: Option<Ready>) {
        let sinks = self.sinks();
        let Some(spool) = &loaded.shell.cdr else {
            self.keep_journal(false);
            sinks.cdr.end();
            let text = "no call records are written any more, of calls in progress neither";
            sinks.log.warn("cdr_ended", text).send();
            return;
        };
        if let Some(cdr) = &*sinks.cdr.get() {
            cdr.relocate(spool);
            return;
        }
        // Where nobody writes, somebody was made ready when all was tried.
        let Some(ready) = ready else {
            return;
        };
        sinks.cdr.begin_with(ready);
        self.keep_journal(true);
        let text = "call records are written from now on";
        let line = sinks.log.info("cdr_begun", text);
        line.with("directory", &spool.directory).send();
    }

    fn keep_journal(&self, is_kept: bool) {
        for inbox in self.inboxes().all() {
            // Reports of our own side are always taken.
            let _ = inbox.push(Input::Journal(is_kept));
        }
    }

    /// Tells whoever has begun to write records which calls are up: of those that its journal knows besides, it writes that
    /// they were lost.
    pub(super) async fn settle_records(&self) {
        if self.sinks().cdr.get().is_none() {
            return;
        }
        let mut up = HashSet::new();
        for inbox in self.inboxes().all() {
            let asked = self.replies().ask(inbox, Command::Calls, ANSWER).await;
            if let Some(Answered::Calls(calls)) = asked {
                up.extend(calls.iter().map(|own| own.call));
            }
        }
        if let Some(cdr) = &*self.sinks().cdr.get() {
            cdr.goes_on(up);
        }
    }
}
