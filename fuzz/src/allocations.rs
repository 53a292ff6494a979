//! Counts the memory that a reader uses.

#![expect(unsafe_code, reason = "the trait of an allocator is unsafe; the methods only count and call the system's")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Maximum bytes that a reader may hold for each byte of its input. An object with one member takes 7 bytes of JSON and
/// about 650 bytes as a value of serde_json.
const BYTES_PER_BYTE: usize = 128;
/// Maximum bytes that a reader may hold in addition, for faults and for caches of time zones.
const FIXED_BYTES: usize = 512 * 1024;

struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn add(bytes: usize) {
    let live = LIVE.fetch_add(bytes, Relaxed).wrapping_add(bytes);
    PEAK.fetch_max(live, Relaxed);
}

// SAFETY: Each method passes its arguments to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        add(layout.size());
        // SAFETY: The caller keeps the contract of this method, which is the contract of `System`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: The caller keeps the contract of this method, which is the contract of `System`.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        // A moved block is held twice during the copy.
        add(new_size);
        LIVE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: The caller keeps the contract of this method, which is the contract of `System`.
        unsafe { System.realloc(memory, layout, new_size) }
    }
}

/// Calls a reader of `input_bytes` bytes, and panics if the memory that the reader holds at once is out of proportion.
pub(crate) fn bounded<T>(input_bytes: usize, read: impl FnOnce() -> T) -> T {
    let before = LIVE.load(Relaxed);
    PEAK.store(before, Relaxed);
    let value = read();
    let held = PEAK.load(Relaxed).saturating_sub(before);
    let max = FIXED_BYTES + BYTES_PER_BYTE * input_bytes;
    assert!(held <= max, "the reader of {input_bytes} bytes held {held} bytes; at most {max} are allowed");
    value
}
