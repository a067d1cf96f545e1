use std::fmt;

/// A float64 of the protocol. Two are equal if their bits are, so that messages can be compared.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Float64(u64);

impl Float64 {
    pub fn get(self) -> f64 {
        f64::from_bits(self.0)
    }
}

impl From<f64> for Float64 {
    fn from(value: f64) -> Float64 {
        Float64(value.to_bits())
    }
}

impl fmt::Debug for Float64 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.get(), f)
    }
}
