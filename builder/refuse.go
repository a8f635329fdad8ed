package builder

import (
	"errors"

	"offgrid/builder/catalogue"
	"offgrid/builder/cluster"
	"offgrid/builder/internal/fetch"
	"offgrid/builder/internal/pki"
	"offgrid/builder/internal/strictyaml"
	"offgrid/bundle/seal"
)

// Refused reports whether err says that the input must be changed: the cluster file, the catalogue, the lock, the
// certificates, the installer. Otherwise something failed on the way, and the same command may do better next time.
func Refused(err error) bool {
	var (
		problems  *cluster.Problems
		faults    *catalogue.Problems
		yaml      *strictyaml.Problems
		stale     *StaleError
		pkiFaults *pki.Problems
		noSite    *NoSiteError
		noPKI     *NoPKIError
		noLock    *NoLockError
		busy      *BusyError
		installer *InstallerError
		mirror    *MirrorError
		choice    *CatalogueError
		rendered  *RenderError
		extras    *ExtrasError
		registry  *RegistryError
		unknown   *pki.ChoiceError
		rotation  *pki.RotationError
		packages  *PackagesError
		baseline  *BaselineError
		notLocked *NotLockedError
		since     *SinceError
		signing   *SigningError
		asked     *NoPassphraseError
		wrong     *WrongPassphraseError
		text      *seal.PassphraseError
		locked    *pki.LockedError
		cannot    *pki.LockError
	)
	for _, target := range []any{&signing, &since, &asked, &wrong, &text, &locked, &cannot, &packages, &baseline, &notLocked, &problems, &faults, &yaml, &stale, &pkiFaults, &noSite, &noPKI, &noLock, &busy, &installer, &mirror, &choice, &rendered, &extras, &registry, &unknown, &rotation} {
		if errors.As(err, target) {
			return true
		}
	}
	return false
}

// secretHints say how to go on where a key or a passphrase is wanted.
func secretHints(err error) []string {
	var signing *SigningError
	switch {
	case errors.As(err, &signing):
		return signing.hints()
	case errors.As(err, new(*NoPassphraseError)):
		return []string{"type it: add --passphrase-file FILE (- is standard input) or --passphrase-fd N; if nobody knows it any more: --new-passphrase seals everything anew, " +
			"and what was carried to the site before opens with the old one only"}
	case errors.As(err, new(*WrongPassphraseError)):
		return []string{"type the one from the first build; if nobody knows it any more: --new-passphrase seals everything anew"}
	case errors.As(err, new(*seal.PassphraseError)):
		return []string{"it is one line, such as six words with a hyphen between them"}
	case errors.As(err, new(*pki.LockedError)):
		return []string{"`bundle pki unlock` gives them back, `bundle pki lock` locks them again afterwards"}
	}
	return nil
}

// Hints returns what helps against err, for people: at most one line.
func Hints(err error) []string {
	if help := secretHints(err); help != nil {
		return help
	}
	var (
		noSite    *NoSiteError
		noPKI     *NoPKIError
		noLock    *NoLockError
		busy      *BusyError
		installer *InstallerError
		yaml      *strictyaml.Problems
		pkiFaults *pki.Problems
		mirror    *MirrorError
		wrong     *fetch.WrongBytesError
		download  *fetch.Error
		unknown   *pki.ChoiceError
		rotation  *pki.RotationError
		packages  *PackagesError
		baseline  *BaselineError
		notLocked *NotLockedError
		since     *SinceError
	)
	switch {
	case errors.As(err, &since):
		return []string{"name what the hosts have now: the old dist/, or a whole ROLE.bundle or site.bundle of it; without --since whole bundles are built"}
	case errors.As(err, &packages):
		return []string{"if the hosts are not " + packages.Baseline + " any more, run `./install baseline > baseline.json` on one and name the file as host.baseline in cluster.yaml; else choose other versions"}
	case errors.As(err, &baseline):
		return []string{"`./install baseline > baseline.json` on a host writes it"}
	case errors.As(err, &notLocked):
		return []string{"`bundle lock --json` lists everything in the lock"}
	case errors.As(err, &noSite):
		return []string{"run `bundle init " + noSite.Dir + "`, or name the site with --dir"}
	case errors.As(err, &noPKI):
		return []string{"`bundle build` makes them"}
	case errors.As(err, &noLock):
		return []string{"run `bundle lock` first"}
	case errors.As(err, &busy):
		return []string{"wait until the other command is through, and run this one again"}
	case errors.As(err, &installer):
		return []string{"name the installer with --installer FILE; `make build` makes it as bin/install"}
	case errors.As(err, &mirror):
		return []string{"--mirror takes FROM=TO, two addresses; --mirrors a name that the catalogue has"}
	case errors.As(err, &pkiFaults):
		return []string{"put the files back from a copy of " + pkiFaults.Dir + "; nothing in it is ever made anew without `bundle pki renew`"}
	case errors.As(err, &rotation):
		return []string{rotation.Hint}
	case errors.As(err, &unknown):
		return []string{"`bundle pki show` lists the hosts and what they have"}
	case errors.As(err, &yaml):
		return []string{"correct these lines of " + yaml.Name + "; a lock is made anew by `bundle lock`"}
	case errors.As(err, &wrong):
		return []string{"these are not the bytes that were vouched for: do not use them; try a mirror with --mirror FROM=TO, and if upstream really has changed them, find out why before `bundle lock`"}
	case fetch.IsNotFound(err):
		return []string{"upstream has no such file: look at the versions in cluster.yaml and the addresses in the catalogue, or fetch from elsewhere with --mirror FROM=TO"}
	case errors.As(err, &download):
		return []string{"run the same command again: it goes on where it stopped; --mirror FROM=TO fetches from elsewhere"}
	}
	return nil
}
