//go:build e2e

// Package e2e runs cove, the binary, on real engines and looks at what comes of it. It knows nothing of cove's
// inside; it only borrows the image build, for the image that test pods run.
//
// Tests run in two lanes, one cluster at a time in each: the machine's own engine, and one throw-away engine on overlay2
// (package testbed) that nobody else uses, so that "nothing is left" can be taken literally there.
//
//	COVE_BIN       the binary; else bin/cove of this checkout
//	COVE_IMAGE     the node image; else cove-node:v1.36.3
//	E2E_ARTIFACTS  where failed tests leave what `cove export` says
//	E2E_REQUIRE    1: what is missing (engine, image, root) fails the tests that need it, instead of skipping them
package e2e
