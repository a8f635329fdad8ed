// Package recovery knows damage: it says which blocks of a file are not what they were, and makes them again from parity.
//
// Beside a finished file NAME lies its recovery record NAME.recovery: a digest of each block, and Reed-Solomon parity.
// RECOVERY-FORMAT.md beside this file specifies it. The file itself does not change and knows nothing of its record.
//
//   - Create makes the record of a file. Open reads one, also when the record itself is damaged.
//   - Find opens a file as it lies on a medium: whole, or in parts beside each other that nobody joins.
//   - Pieces.Heal makes a damaged file readable without writing to the medium; Repair mends it there.
//
// # Power
//
// A record with m parity blocks repairs any m blocks of the file and the parity together, wherever they are: one code covers
// the whole file. A file that is cut short or lacks a part is one of which blocks are missing. Bytes behind the end do no
// harm. Bytes put in or taken out in the middle move all that follows, and count as damage from there on.
//
// # Memory
//
// Working memory is at most 32 MiB, whatever the size of the file. The tables of the code take about 75 MiB more from the
// moment that parity is first made or used; looking for damage needs no tables.
package recovery
