// Package config turns what people write (a cluster document, the settings file, COVE_* variables, flags) into one
// cluster that is complete and valid. It never talks to an engine or a cluster, and it never prints.
//
// A cluster comes about in this order, where the later one wins field by field: defaults, settings file, COVE_*
// variables, profile, cluster document, flags that were set. Only for the pod network (cni) do the settings win over the
// profile: every profile names one. A proxy that nobody names is that of the command's environment. Parse reads a
// document, LoadSettings the settings, Resolve joins them, fills in the defaults and checks everything.
package config
