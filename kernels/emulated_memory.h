// What the emulator knows of device memory: which of it is in use, and what of that nothing has written yet.
#pragma once

#include <cstddef>
#include <cstdint>

namespace cytograd::emulator {

/// `taken` fills [memory, memory + bytes) with NaN of a kind of its own and guards what follows up to `reserved`.
void taken(void* memory, size_t bytes, size_t reserved);
void given_back(void* memory, size_t reserved);
/// A copy's source is now at the start of [memory, memory + bytes): if it is the host's, words of it that look like the
/// NaN above are no sign that a kernel read what nothing had written.
void copied(const void* memory, const void* source, size_t bytes);
/// Before the memory goes back to the system: takes the guards away.
void forget(void* memory, size_t reserved);

/// Fills a block's shared memory with NaN that is none of device memory's.
void poison_shared(void* memory, size_t bytes);
/// Throws Fault where memory that is taken has NaN of another allocation or of shared memory, or was written past its
/// end; `kernel` is the last that ran.
void check_memory(const char* kernel);

}  // namespace cytograd::emulator
