//! Who hangs on whom: a call made while an exchange is being answered.

use crate::error::Result;
use crate::runtime::delivery::Node;
use std::any::Any;
use std::sync::{Arc, Weak};

/// Ends with its parent.
pub trait Child: Send + Sync {
    fn parent_ended(self: Arc<Self>);
}

/// See [`Parent::keep`].
pub type Keep = Box<dyn Any + Send + Sync>;

/// Serialises its children's callbacks with its own, and ends them with itself.
pub trait Parent: Send + Sync {
    /// Whose strand the children's callbacks run on.
    fn node(self: Arc<Self>) -> Arc<dyn Node>;
    /// Keeps what the parent lives on from ending, until it is dropped: a child's last callback is still to
    /// come.
    fn keep(&self) -> Keep;
    /// Tells `child` when this has ended.
    fn adopt(&self, child: Weak<dyn Child>) -> Result<()>;
}
