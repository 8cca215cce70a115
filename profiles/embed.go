// Package profiles holds the profiles and the addon catalogue that are built in, as files. pkg/profile reads them.
package profiles

import (
	"embed"
	"io/fs"
)

//go:embed *.yaml addons
var files embed.FS

// FS returns the files: NAME.yaml of each profile, and addons/NAME/ of each addon.
func FS() fs.FS { return files }
