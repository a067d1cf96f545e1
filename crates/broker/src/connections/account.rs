use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::{Memory, Reservation};

/// What is reserved at once. The budget is shared by all connections; going to it for each small request would cost
/// more than decoding the request.
const STEP_BYTES: usize = 64 * 1024;

/// Memory of the broker's budget that a connection has reserved, and how much of it its requests use.
pub struct Account {
    /// Absent while it grows.
    reservation: Option<Reservation>,
    growing: Option<Pin<Box<dyn Future<Output = Reservation> + Send>>>,
    used_bytes: usize,
}

impl Account {
    pub fn new(memory: &Memory) -> Account {
        Account {
            reservation: Some(memory.reservation()),
            growing: None,
            used_bytes: 0,
        }
    }

    /// Takes `bytes`, or waits until there is room for them and takes nothing until then.
    pub fn poll_take(&mut self, cx: &mut Context<'_>, bytes: usize) -> Poll<()> {
        loop {
            if let Some(growing) = &mut self.growing {
                match growing.as_mut().poll(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(reservation) => self.reservation = Some(reservation),
                }
                self.growing = None;
            }
            let Some(mut reservation) = self.reservation.take() else {
                return Poll::Pending;
            };
            let needed = self.used_bytes.saturating_add(bytes);
            let missing = needed.saturating_sub(reservation.bytes());
            if missing == 0 || reservation.try_grow(missing.max(STEP_BYTES)) || reservation.try_grow(missing)
            {
                self.reservation = Some(reservation);
                self.used_bytes = needed;
                return Poll::Ready(());
            }
            self.growing = Some(Box::pin(async move {
                reservation.grow(missing).await;
                reservation
            }));
        }
    }

    /// Whether a request waits for room that others have to make.
    pub fn is_waiting(&self) -> bool {
        self.growing.is_some()
    }

    /// Gives back what no request uses, before something is waited for that may take long.
    pub fn settle(&mut self) {
        if let Some(reservation) = &mut self.reservation {
            reservation.shrink_to(self.used_bytes);
        }
    }

    pub fn give(&mut self, bytes: usize) {
        self.used_bytes = self.used_bytes.saturating_sub(bytes);
        let Some(reservation) = &mut self.reservation else {
            return;
        };
        let slack = reservation.bytes().saturating_sub(self.used_bytes);
        if self.used_bytes == 0 {
            reservation.shrink_to(0);
        } else if slack > STEP_BYTES.saturating_mul(4) {
            reservation.shrink_to(self.used_bytes.saturating_add(STEP_BYTES));
        }
    }
}
