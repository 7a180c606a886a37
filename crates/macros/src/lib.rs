//! The #[task] attribute and the Signature derive of Lovage.
