package clustertest

import "github.com/cove-k8s/cove/pkg/fault"

// Kill takes the world away from the runs that work on it, as if they had been killed: from now on nothing that they ask of the engine, of
// a node or of the API is done. Revive ends that.
func (w *World) Kill() {
	w.dead.Store(true)
	w.Engine.FailFrom(len(w.Engine.Operations())+1, errKilled())
}

// Revive gives the world back, to other runs.
func (w *World) Revive() {
	w.dead.Store(false)
	w.Engine.Heal()
}

func errKilled() error { return fault.New(fault.EngineUnreachable, "the run was killed") }
