//! A call that ends because somebody here wants it to: an operator, or the end of the node.

use super::{A_LEG, Call};
use crate::cause::{Because, CauseCode, EndedBy};
use crate::plane::Cx;
use crate::policy::response;
use crate::sip::header::Reason;

impl Call {
    /// Ends the call, with what is told of it if not what is usual. A caller that still waits gets the status that
    /// the cause stands for, so that what an operator says is heard whichever of the two its peer reads.
    pub(crate) fn hang_up(&mut self, cx: &mut Cx<'_>, because: Because, told: &[Reason]) {
        let (who, code) = (EndedBy::Us, CauseCode::Operator);
        let waiting = self.legs.get(&A_LEG).map(|leg| &leg.session.style().trunk);
        match response::q850_of_reasons(told).zip(waiting) {
            Some((cause, trunk)) => {
                let status = response::of_cause(cause, trunk);
                self.end_with(cx, who, code, status, because, told);
            }
            None => self.end(cx, who, code, because, told),
        }
        self.settle(cx);
    }
}
