// Package enginetest has a fake engine that behaves, and the contract that the fake and the Docker adapter both pass.
// Nothing of it is linked into the released program.
package enginetest
