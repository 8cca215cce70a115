package config

import "github.com/cove-k8s/cove/pkg/config/strict"

// Problem is one thing that is wrong with a document or with the settings.
type Problem = strict.Problem

// Problems is everything that is wrong, found in one go. It is the cause inside the *fault.Error of this package's
// functions: errors.As finds it there.
type Problems = strict.Problems
