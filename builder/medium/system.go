package medium

// FileSystem is what is known of the file system that a directory lies in.
type FileSystem struct {
	Kind     string `json:"kind"` // "vfat", "exfat", "ext4"...; "" when the system does not say or it is no known one
	ReadOnly bool   `json:"readOnly"`
	Free     int64  `json:"free"`    // bytes; -1 when the system does not say
	Largest  int64  `json:"largest"` // bytes that a file may have; 0: no limit that matters
}

// fatLargest is the limit of FAT32: the length field of a directory entry has 32 bits.
const fatLargest = 1<<32 - 1

// limits completes what follows from the kind.
func (f FileSystem) limits() FileSystem {
	if f.Kind == "vfat" {
		f.Largest = fatLargest
	}
	return f
}
