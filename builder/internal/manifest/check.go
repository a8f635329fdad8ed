package manifest

import (
	"fmt"
	"slices"
	"strings"
)

// File is a file of objects that a master applies.
type File struct {
	Name    string // for messages
	Objects []Object
}

// Check returns what cannot work on the site, a line for each finding: APIs that Kubernetes 1.20 has not, and images that
// are not among those that nodes have.
func Check(files []File, images []string) []string {
	var faults []string
	provided, apis := map[string]bool{}, served()
	for _, f := range files {
		for _, o := range f.Objects {
			for _, version := range o.Provides {
				provided[version] = true
			}
		}
	}
	for _, f := range files {
		seen := map[string]int{}
		for _, o := range f.Objects {
			add := func(line int, format string, args ...any) {
				faults = append(faults, fmt.Sprintf("%s line %d: %s: ", f.Name, line, o)+fmt.Sprintf(format, args...))
			}
			if text := unserved(o, provided, apis); text != "" {
				add(o.Line, "%s", text)
			}
			if first := seen[o.APIVersion+" "+o.String()]; first > 0 {
				add(o.Line, "it is there twice, first in line %d", first)
			}
			seen[o.APIVersion+" "+o.String()] = o.Line
			for _, fault := range Unusable(o, images) {
				faults = append(faults, f.Name+" "+fault)
			}
		}
	}
	return faults
}

// Unusable says which images of an object a node could not run, when those are the ones that nodes have.
func Unusable(o Object, images []string) []string {
	var faults []string
	for _, image := range o.Images {
		if text := unusable(image, images); text != "" {
			faults = append(faults, fmt.Sprintf("line %d: %s: %s", image.Line, o, text))
		}
	}
	return faults
}

// unserved says why the API server of 1.20 would not take the object, "" when it would.
func unserved(o Object, provided map[string]bool, apis map[string][]string) string {
	kinds, known := apis[o.APIVersion]
	group, _, grouped := strings.Cut(o.APIVersion, "/")
	builtIn := !grouped || !strings.Contains(group, ".") || strings.HasSuffix(group, ".k8s.io")
	switch {
	case provided[o.APIVersion] || known && slices.Contains(kinds, o.Kind):
		return ""
	case !known && !builtIn:
		return fmt.Sprintf("nothing in the bundle makes the API %s: add the manifest of its CustomResourceDefinition to extras", o.APIVersion)
	}
	var others []string
	for version, kinds := range apis {
		if slices.Contains(kinds, o.Kind) {
			others = append(others, version)
		}
	}
	slices.Sort(others)
	if len(others) == 0 {
		return fmt.Sprintf("Kubernetes v1.20 has no %s in %s", o.Kind, o.APIVersion)
	}
	return fmt.Sprintf("Kubernetes v1.20 has no %s in %s; it has it in %s", o.Kind, o.APIVersion, strings.Join(others, ", "))
}

// unusable says why a node could not run the image, "" when it can.
func unusable(image Image, aboard []string) string {
	switch {
	case strings.Contains(image.Ref, "@"):
		return fmt.Sprintf("the image %s is named by digest: images that were carried have none on a node; name the tag", image.Ref)
	case image.PullPolicy == "Always":
		return fmt.Sprintf("imagePullPolicy of %s is Always: nothing can be pulled on the site; write IfNotPresent", image.Ref)
	case strings.HasSuffix(image.Ref, ":latest"):
		return fmt.Sprintf("the image %s: the tag latest is pulled at every start; name a version", image.Ref)
	case !slices.Contains(aboard, image.Ref):
		return fmt.Sprintf("the image %s is not aboard; list it under extras.images, under exactly this name", image.Ref)
	}
	return ""
}

// served is what the API server of v1.20 serves without being told to, by API version: the kinds that can be applied.
// Source: the API's group versions that are enabled by default in k8s.io/kubernetes v1.20.15, pkg/controlplane, and the
// registered types of k8s.io/api v0.20.15.
func served() map[string][]string {
	all := map[string][]string{}
	for line := range strings.Lines(servedAPIs) {
		if fields := strings.Fields(line); len(fields) > 0 {
			all[fields[0]] = fields[1:]
		}
	}
	return all
}

const servedAPIs = `
v1 ConfigMap Endpoints Event LimitRange Namespace Node PersistentVolume PersistentVolumeClaim Pod PodTemplate ReplicationController ResourceQuota Secret Service ServiceAccount
admissionregistration.k8s.io/v1 MutatingWebhookConfiguration ValidatingWebhookConfiguration
admissionregistration.k8s.io/v1beta1 MutatingWebhookConfiguration ValidatingWebhookConfiguration
apiextensions.k8s.io/v1 CustomResourceDefinition
apiextensions.k8s.io/v1beta1 CustomResourceDefinition
apiregistration.k8s.io/v1 APIService
apiregistration.k8s.io/v1beta1 APIService
apps/v1 ControllerRevision DaemonSet Deployment ReplicaSet StatefulSet
autoscaling/v1 HorizontalPodAutoscaler
autoscaling/v2beta1 HorizontalPodAutoscaler
autoscaling/v2beta2 HorizontalPodAutoscaler
batch/v1 Job
batch/v1beta1 CronJob
certificates.k8s.io/v1 CertificateSigningRequest
certificates.k8s.io/v1beta1 CertificateSigningRequest
coordination.k8s.io/v1 Lease
coordination.k8s.io/v1beta1 Lease
discovery.k8s.io/v1beta1 EndpointSlice
events.k8s.io/v1 Event
events.k8s.io/v1beta1 Event
extensions/v1beta1 Ingress
flowcontrol.apiserver.k8s.io/v1beta1 FlowSchema PriorityLevelConfiguration
networking.k8s.io/v1 Ingress IngressClass NetworkPolicy
networking.k8s.io/v1beta1 Ingress IngressClass
node.k8s.io/v1 RuntimeClass
node.k8s.io/v1beta1 RuntimeClass
policy/v1beta1 PodDisruptionBudget PodSecurityPolicy
rbac.authorization.k8s.io/v1 ClusterRole ClusterRoleBinding Role RoleBinding
rbac.authorization.k8s.io/v1beta1 ClusterRole ClusterRoleBinding Role RoleBinding
scheduling.k8s.io/v1 PriorityClass
scheduling.k8s.io/v1beta1 PriorityClass
storage.k8s.io/v1 CSIDriver CSINode StorageClass VolumeAttachment
storage.k8s.io/v1beta1 CSIDriver CSINode StorageClass VolumeAttachment
`
