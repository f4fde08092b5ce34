//! Has the shards take no new calls while those would leave no record although they must (OPS-060).

use crate::daemon::inbox::Inboxes;
use crate::sink::log::Log;
use sbc_core::input::Input;
use tokio::sync::watch;

/// Tells them whenever it changes, until nobody writes records any more.
pub(super) async fn watch(mut refuses: watch::Receiver<bool>, inboxes: Inboxes, log: Log) {
    let mut told = false;
    loop {
        let now = *refuses.borrow_and_update();
        if now != told {
            told = now;
            for inbox in inboxes.all() {
                // Reports of our own side are always taken.
                let _ = inbox.push(Input::Unrecorded(now));
            }
            match now {
                true => {
                    let text = "new calls are refused with 503 until records can be written, as [cdr] mandatory says";
                    log.error("calls_unrecorded", text).send();
                }
                false => {
                    let text = "new calls are taken again: records can be written";
                    log.info("calls_recorded", text).send();
                }
            }
        }
        if refuses.changed().await.is_err() {
            return;
        }
    }
}
