//! Fused elementwise functions, computed piece by piece.

use std::cell::Cell;

use crate::kernel::Workers;
use crate::kernel::broadcast::Broadcast;
use crate::lower::Kernel;
use crate::lower::elementwise::function::Function;

/// Elements per task: some microseconds of work.
const TASK: usize = 1 << 13;
/// Elements computed at a time: several such pieces fit into the L1 cache.
const PIECE: usize = 1 << 10;

type Piece = [f32; PIECE];

thread_local! {
    /// Reused memory for pieces, because allocating costs more than the computation.
    static PIECES: Cell<Vec<Piece>> = const { Cell::new(Vec::new()) };
}

/// Location of an operand.
#[derive(Debug)]
pub(super) enum Operand {
    /// An input of the step, with its broadcasting to the output.
    Input(usize, Broadcast<1>),
    /// Result of an earlier function.
    Piece(usize),
}

impl Operand {
    pub(super) fn piece(&self) -> Option<usize> {
        match self {
            Self::Piece(piece) => Some(*piece),
            Self::Input(..) => None,
        }
    }
}

/// One function of a chain.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) function: Function,
    pub(super) operands: Vec<Operand>,
    /// Piece that holds its result; that of the last function is written to the output.
    pub(super) piece: usize,
}

/// Functions in execution order.
#[derive(Debug)]
pub(super) struct Chain {
    pub(super) links: Vec<Link>,
    pub(super) pieces: usize,
}

impl Kernel for Chain {
    fn run(&self, inputs: &[&[f32]], y: &mut [f32], _: &mut [f32], workers: Workers) {
        workers.for_each_chunk(y, TASK, |task, y| {
            let mut pieces = PIECES.take();
            // The pieces after the results hold broadcast operands.
            pieces.resize(pieces.len().max(self.pieces + Function::MOST_OPERANDS), [0.0; PIECE]);
            for (i, y) in y.chunks_mut(PIECE).enumerate() {
                self.piece(inputs, task * TASK + i * PIECE, y, &mut pieces);
            }
            PIECES.set(pieces);
        });
    }
}

impl Chain {
    /// Computes the piece of the output that starts at `start`.
    fn piece(&self, inputs: &[&[f32]], start: usize, y: &mut [f32], pieces: &mut [Piece]) {
        let (results, repeated) = pieces.split_at_mut(self.pieces);
        for (i, link) in self.links.iter().enumerate() {
            let mut spare = repeated.iter_mut();
            // The piece of the result lies between those that the function reads.
            let (before, rest) = results.split_at_mut(link.piece);
            let Some((own, behind)) = rest.split_first_mut() else { continue };
            let operands = link.operands.iter().map(|operand| match operand {
                Operand::Piece(piece) if *piece < link.piece => &before[*piece][..y.len()],
                Operand::Piece(piece) => &behind[*piece - link.piece - 1][..y.len()],
                Operand::Input(index, walk) => {
                    let room = spare.next().map_or(&mut [][..], |piece| &mut piece[..y.len()]);
                    walk.read(inputs[*index], start, room)
                }
            });
            let is_last = i + 1 == self.links.len();
            let mut found: [&[f32]; Function::MOST_OPERANDS] = [&[]; Function::MOST_OPERANDS];
            found.iter_mut().zip(operands).for_each(|(found, operand)| *found = operand);
            link.function.apply(found, if is_last { &mut *y } else { &mut own[..y.len()] });
        }
    }
}
