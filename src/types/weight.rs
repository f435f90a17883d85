//! What is remembered of the weight of a large collection, so that it need not be gone through.
//!
//! A change adds what the allocator handed out meanwhile, and once the doubt about that exceeds an eighth of the weight, or
//! the number of items has changed by a sixteenth, the collection is measured anew. Only above [`MEASURED_MAX`] items, where
//! measuring would hold everybody up, it is taken to weigh as much an item as when it was measured last.

/// A collection with more items than this is not gone through.
const MEASURED_MAX: usize = 1 << 16;
/// A change of a large collection leaves doubt about so many bytes, besides those it is seen to have taken or given back.
const DOUBT: usize = 32;

/// The weight of a large collection; it lies with the collection. The default is that of one that was never measured.
#[derive(Clone, Copy, Default, Debug)]
pub struct Weight {
    bytes: usize,
    /// Bytes by which that may be wrong.
    doubt: usize,
    /// What it was when it was measured last, and how many items there were.
    measured: usize,
    items: usize,
}

impl Weight {
    /// What was measured: bytes and items.
    pub fn of(bytes: usize, items: usize) -> Weight {
        Weight { bytes, doubt: 0, measured: bytes, items }
    }

    /// In bytes; 0 if it was never measured.
    #[inline]
    pub fn bytes(self) -> usize {
        self.bytes
    }

    /// The weight after a change to `items` items, during which the allocator handed out `delta` bytes more than it got
    /// back; `measure` tells its bytes.
    #[inline]
    #[must_use]
    pub fn changed(self, items: usize, delta: isize, measure: impl FnOnce() -> usize) -> Weight {
        let bytes = self.bytes.saturating_add_signed(delta);
        let doubt = self.doubt + delta.unsigned_abs() + DOUBT;
        if doubt <= bytes / 8 && items.abs_diff(self.items) <= self.items / 16 {
            return Weight { bytes, doubt, ..self };
        }
        if items <= MEASURED_MAX {
            return Weight::of(measure(), items);
        }
        let bytes = self.measured as u128 * items as u128 / self.items.max(1) as u128;
        Weight { bytes: bytes as usize, doubt: 0, ..self }
    }
}
