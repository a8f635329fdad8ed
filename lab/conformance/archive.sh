# shellcheck shell=bash
# archive.sh: container images as one archive of the form that `docker load` reads: a layer is a directory's tar, shared by all
# images that have it.

# archive_begin DIR: DIR gets the archive's members.
archive_begin() {
	archive=$1
	mkdir -p "$archive"
	: >"$archive/.images"
}

# archive_layer TREE: packs it; prints the layer's name.
archive_layer() {
	local sum
	tar -C "$1" --sort=name --mtime=@0 --numeric-owner --owner=0 --group=0 -cf "$archive/.layer" .
	sum=$(sha256sum "$archive/.layer" | cut -d' ' -f1)
	mv "$archive/.layer" "$archive/$sum.tar"
	echo "$sum"
}

# archive_image NAME SETTINGS LAYER...: SETTINGS are members of the image's "config" object.
archive_image() {
	local name=$1 settings=$2 sum diffs files
	shift 2
	diffs=$(printf '"sha256:%s",' "$@")
	files=$(printf '"%s.tar",' "$@")
	printf '{"architecture": "amd64", "os": "linux", "config": {"Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"], %s}, "rootfs": {"type": "layers", "diff_ids": [%s]}}\n' \
		"$settings" "${diffs%,}" >"$archive/.config"
	sum=$(sha256sum "$archive/.config" | cut -d' ' -f1)
	mv "$archive/.config" "$archive/$sum.json"
	printf '{"Config": "%s.json", "RepoTags": ["%s"], "Layers": [%s]}\t%s\n' "$sum" "$name" "${files%,}" "$name" >>"$archive/.images"
}

# archive_end FILE: the archive; prints the names in it.
archive_end() {
	printf '[%s]\n' "$(cut -f1 "$archive/.images" | paste -sd,)" >"$archive/manifest.json"
	(cd "$archive" && find . -maxdepth 1 \( -name '*.json' -o -name '*.tar' \) -printf '%P\n' | sort | tar -cf "$1" -T -)
	cut -f2 "$archive/.images"
}
