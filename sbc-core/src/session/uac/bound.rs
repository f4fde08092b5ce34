//! Calls to contacts that the peer has registered with us.

use super::Outgoing;
use crate::config::{Lookup, TargetAddress, Trunk};
use crate::id::TrunkName;
use crate::plane::Cx;
use crate::sip::Uri;
use crate::trunk::Binding;
use std::sync::Arc;

impl Outgoing {
    /// The binding that a target is.
    pub(super) fn binding_of(&self, target: &TargetAddress) -> Option<&Arc<Binding>> {
        let Lookup::Binding(id) = target.lookup else {
            return None;
        };
        self.bindings.iter().find(|one| one.id == id)
    }

    /// The Request-URI of a call for a number at a target that is a binding.
    pub(super) fn contact(
        &self,
        trunk: &Trunk,
        target: &TargetAddress,
        called: &Uri,
    ) -> Option<Uri> {
        let form = trunk.registrar.as_ref().map(|own| own.called);
        let binding = self.binding_of(target)?;
        binding.request_uri(called, form.unwrap_or_default())
    }

    /// Looks at a binding once more before it is called: its connection may be gone, or another may
    /// have taken its place, since the call began. `false` if nothing is left of it.
    pub(super) fn still_stands(
        &mut self,
        cx: &Cx<'_>,
        trunk: &TrunkName,
        target: &TargetAddress,
    ) -> bool {
        let Lookup::Binding(id) = target.lookup else {
            return true;
        };
        let now = cx.plane.bindings.get(cx.now.mono, trunk, id);
        let own = self.bindings.iter_mut().find(|one| one.id == id);
        if let (Some(own), Some(now)) = (own, now) {
            *own = Arc::clone(now);
        }
        now.is_some()
    }
}
