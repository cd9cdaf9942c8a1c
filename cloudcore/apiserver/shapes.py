"""The fields of the kinds that the embedded API serves (Kubernetes API reference 1.32), in the notation of schema.py."""

from typing import Final

SHAPES: Final = """
OwnerReference: apiVersion=s kind=s name=s uid=s controller=b blockOwnerDeletion=b
ObjectMeta: name=s generateName=s namespace=s selfLink=s uid=s resourceVersion=s generation=l creationTimestamp=s
ObjectMeta: deletionTimestamp=s deletionGracePeriodSeconds=l labels=m annotations=m ownerReferences=[OwnerReference]
ObjectMeta: finalizers=[s] managedFields=a
ObjectReference: kind=s namespace=s name=s uid=s apiVersion=s resourceVersion=s fieldPath=s
LocalObjectReference: name=s
Condition: type=s status=s reason=s message=s lastTransitionTime=s lastProbeTime=s lastHeartbeatTime=s observedGeneration=l
Condition: lastUpdateTime=s
LabelSelectorRequirement: key=s operator=s values=[s]
LabelSelector: matchLabels=m matchExpressions=[LabelSelectorRequirement]

Pod: apiVersion=s kind=s metadata=ObjectMeta spec=PodSpec status=PodStatus
PodSpec: volumes=[Volume] initContainers=[Container] containers=[Container] ephemeralContainers=[Container]
PodSpec: restartPolicy=s terminationGracePeriodSeconds=l activeDeadlineSeconds=l dnsPolicy=s nodeSelector=m
PodSpec: serviceAccountName=s serviceAccount=s automountServiceAccountToken=b nodeName=s hostNetwork=b hostPID=b hostIPC=b
PodSpec: shareProcessNamespace=b securityContext=PodSecurityContext imagePullSecrets=[LocalObjectReference] hostname=s
PodSpec: subdomain=s affinity=Affinity schedulerName=s tolerations=[Toleration] hostAliases=[HostAlias]
PodSpec: priorityClassName=s priority=i dnsConfig=PodDNSConfig readinessGates=[PodReadinessGate] runtimeClassName=s
PodSpec: enableServiceLinks=b preemptionPolicy=s overhead=mq topologySpreadConstraints=[TopologySpreadConstraint]
PodSpec: setHostnameAsFQDN=b os=PodOS hostUsers=b schedulingGates=[LocalObjectReference] resourceClaims=[PodResourceClaim]
PodSpec: resources=ResourceRequirements hostnameOverride=s
PodOS: name=s
PodReadinessGate: conditionType=s
PodResourceClaim: name=s resourceClaimName=s resourceClaimTemplateName=s
HostAlias: ip=s hostnames=[s]
PodDNSConfig: nameservers=[s] searches=[s] options=[PodDNSConfigOption]
PodDNSConfigOption: name=s value=s
TopologySpreadConstraint: maxSkew=i topologyKey=s whenUnsatisfiable=s labelSelector=LabelSelector minDomains=i
TopologySpreadConstraint: nodeAffinityPolicy=s nodeTaintsPolicy=s matchLabelKeys=[s]
Toleration: key=s operator=s value=s effect=s tolerationSeconds=l
Affinity: nodeAffinity=NodeAffinity podAffinity=PodAffinity podAntiAffinity=PodAffinity
NodeAffinity: requiredDuringSchedulingIgnoredDuringExecution=NodeSelector
NodeAffinity: preferredDuringSchedulingIgnoredDuringExecution=[PreferredSchedulingTerm]
NodeSelector: nodeSelectorTerms=[NodeSelectorTerm]
NodeSelectorTerm: matchExpressions=[LabelSelectorRequirement] matchFields=[LabelSelectorRequirement]
PreferredSchedulingTerm: weight=i preference=NodeSelectorTerm
PodAffinity: requiredDuringSchedulingIgnoredDuringExecution=[PodAffinityTerm]
PodAffinity: preferredDuringSchedulingIgnoredDuringExecution=[WeightedPodAffinityTerm]
PodAffinityTerm: labelSelector=LabelSelector namespaces=[s] topologyKey=s namespaceSelector=LabelSelector
PodAffinityTerm: matchLabelKeys=[s] mismatchLabelKeys=[s]
WeightedPodAffinityTerm: weight=i podAffinityTerm=PodAffinityTerm
SELinuxOptions: user=s role=s type=s level=s
SeccompProfile: type=s localhostProfile=s
WindowsOptions: gmsaCredentialSpecName=s gmsaCredentialSpec=s runAsUserName=s hostProcess=b
Sysctl: name=s value=s
PodSecurityContext: seLinuxOptions=SELinuxOptions windowsOptions=WindowsOptions runAsUser=l runAsGroup=l runAsNonRoot=b
PodSecurityContext: supplementalGroups=[l] supplementalGroupsPolicy=s fsGroup=l sysctls=[Sysctl] fsGroupChangePolicy=s
PodSecurityContext: seccompProfile=SeccompProfile appArmorProfile=SeccompProfile seLinuxChangePolicy=s
Capabilities: add=[s] drop=[s]
SecurityContext: capabilities=Capabilities privileged=b seLinuxOptions=SELinuxOptions windowsOptions=WindowsOptions
SecurityContext: runAsUser=l runAsGroup=l runAsNonRoot=b readOnlyRootFilesystem=b allowPrivilegeEscalation=b procMount=s
SecurityContext: seccompProfile=SeccompProfile appArmorProfile=SeccompProfile
Container: name=s image=s command=[s] args=[s] workingDir=s ports=[ContainerPort] envFrom=[EnvFromSource] env=[EnvVar]
Container: resources=ResourceRequirements resizePolicy=[ResizePolicy] restartPolicy=s volumeMounts=[VolumeMount]
Container: volumeDevices=[VolumeDevice] livenessProbe=Probe readinessProbe=Probe startupProbe=Probe lifecycle=Lifecycle
Container: terminationMessagePath=s terminationMessagePolicy=s imagePullPolicy=s securityContext=SecurityContext stdin=b
Container: stdinOnce=b tty=b targetContainerName=s
ContainerPort: name=s hostPort=i containerPort=i protocol=s hostIP=s
EnvFromSource: prefix=s configMapRef=OptionalReference secretRef=OptionalReference
OptionalReference: name=s optional=b
EnvVar: name=s value=s valueFrom=EnvVarSource
EnvVarSource: fieldRef=ObjectFieldSelector resourceFieldRef=ResourceFieldSelector configMapKeyRef=KeySelector
EnvVarSource: secretKeyRef=KeySelector
KeySelector: name=s key=s optional=b
ObjectFieldSelector: apiVersion=s fieldPath=s
ResourceFieldSelector: containerName=s resource=s divisor=q
ResourceRequirements: limits=mq requests=mq claims=[ResourceClaim]
ResourceClaim: name=s request=s
ResizePolicy: resourceName=s restartPolicy=s
VolumeMount: name=s readOnly=b recursiveReadOnly=s mountPath=s subPath=s mountPropagation=s subPathExpr=s
VolumeDevice: name=s devicePath=s
Lifecycle: postStart=Handler preStop=Handler stopSignal=s
ExecAction: command=[s]
HTTPHeader: name=s value=s
HTTPGetAction: path=s port=x host=s scheme=s httpHeaders=[HTTPHeader]
TCPSocketAction: port=x host=s
GRPCAction: port=i service=s
SleepAction: seconds=l
Handler: exec=ExecAction httpGet=HTTPGetAction tcpSocket=TCPSocketAction sleep=SleepAction
Probe: exec=ExecAction httpGet=HTTPGetAction tcpSocket=TCPSocketAction grpc=GRPCAction initialDelaySeconds=i
Probe: timeoutSeconds=i periodSeconds=i successThreshold=i failureThreshold=i terminationGracePeriodSeconds=l
Volume: name=s hostPath=HostPathVolume emptyDir=EmptyDirVolume secret=SecretVolume configMap=ConfigMapVolume
Volume: downwardAPI=DownwardAPIVolume projected=ProjectedVolume persistentVolumeClaim=ClaimVolume csi=o nfs=o iscsi=o
Volume: image=o ephemeral=o gitRepo=o glusterfs=o rbd=o flexVolume=o cinder=o cephfs=o flocker=o fc=o azureFile=o
Volume: vsphereVolume=o quobyte=o azureDisk=o photonPersistentDisk=o portworxVolume=o scaleIO=o storageos=o
Volume: gcePersistentDisk=o awsElasticBlockStore=o
HostPathVolume: path=s type=s
EmptyDirVolume: medium=s sizeLimit=q
KeyToPath: key=s path=s mode=i
SecretVolume: secretName=s items=[KeyToPath] defaultMode=i optional=b
ConfigMapVolume: name=s items=[KeyToPath] defaultMode=i optional=b
DownwardAPIFile: path=s fieldRef=ObjectFieldSelector resourceFieldRef=ResourceFieldSelector mode=i
DownwardAPIVolume: items=[DownwardAPIFile] defaultMode=i
ProjectedVolume: sources=[VolumeProjection] defaultMode=i
VolumeProjection: secret=ProjectedFiles downwardAPI=DownwardAPIVolume configMap=ProjectedFiles
VolumeProjection: serviceAccountToken=ServiceAccountTokenProjection clusterTrustBundle=o
ProjectedFiles: name=s items=[KeyToPath] optional=b
ServiceAccountTokenProjection: audience=s expirationSeconds=l path=s
ClaimVolume: claimName=s readOnly=b
PodStatus: phase=s conditions=[Condition] message=s reason=s nominatedNodeName=s hostIP=s hostIPs=[IP] podIP=s podIPs=[IP]
PodStatus: startTime=s initContainerStatuses=[ContainerStatus] containerStatuses=[ContainerStatus] qosClass=s
PodStatus: ephemeralContainerStatuses=[ContainerStatus] resize=s resourceClaimStatuses=a observedGeneration=l
IP: ip=s
ContainerStatus: name=s state=ContainerState lastState=ContainerState ready=b restartCount=i image=s imageID=s containerID=s
ContainerStatus: started=b allocatedResources=mq resources=ResourceRequirements volumeMounts=a user=o stopSignal=s
ContainerStatus: allocatedResourcesStatus=a
ContainerState: waiting=ContainerWaiting running=ContainerRunning terminated=ContainerTerminated
ContainerWaiting: reason=s message=s
ContainerRunning: startedAt=s
ContainerTerminated: exitCode=i signal=i reason=s message=s startedAt=s finishedAt=s containerID=s

Node: apiVersion=s kind=s metadata=ObjectMeta spec=NodeSpec status=NodeStatus
NodeSpec: podCIDR=s podCIDRs=[s] providerID=s unschedulable=b taints=[Taint] configSource=o externalID=s
Taint: key=s value=s effect=s timeAdded=s
NodeStatus: capacity=mq allocatable=mq phase=s conditions=[Condition] addresses=[NodeAddress] daemonEndpoints=DaemonEndpoints
NodeStatus: nodeInfo=NodeSystemInfo images=[ContainerImage] volumesInUse=[s] volumesAttached=[AttachedVolume] config=o
NodeStatus: runtimeHandlers=a features=o
NodeAddress: type=s address=s
DaemonEndpoints: kubeletEndpoint=DaemonEndpoint
DaemonEndpoint: Port=i
NodeSystemInfo: machineID=s systemUUID=s bootID=s kernelVersion=s osImage=s containerRuntimeVersion=s kubeletVersion=s
NodeSystemInfo: kubeProxyVersion=s operatingSystem=s architecture=s swap=o
ContainerImage: names=[s] sizeBytes=l
AttachedVolume: name=s devicePath=s

Namespace: apiVersion=s kind=s metadata=ObjectMeta spec=NamespaceSpec status=NamespaceStatus
NamespaceSpec: finalizers=[s]
NamespaceStatus: phase=s conditions=[Condition]
ConfigMap: apiVersion=s kind=s metadata=ObjectMeta immutable=b data=m binaryData=mb
Secret: apiVersion=s kind=s metadata=ObjectMeta immutable=b data=mb stringData=m type=s
ServiceAccount: apiVersion=s kind=s metadata=ObjectMeta secrets=[ObjectReference] imagePullSecrets=[LocalObjectReference]
ServiceAccount: automountServiceAccountToken=b
EventSource: component=s host=s
EventSeries: count=i lastObservedTime=s
Event: apiVersion=s kind=s metadata=ObjectMeta involvedObject=ObjectReference reason=s message=s source=EventSource
Event: firstTimestamp=s lastTimestamp=s count=i type=s eventTime=s series=EventSeries action=s related=ObjectReference
Event: reportingComponent=s reportingInstance=s
Lease: apiVersion=s kind=s metadata=ObjectMeta spec=LeaseSpec
LeaseSpec: holderIdentity=s leaseDurationSeconds=i acquireTime=t renewTime=t leaseTransitions=i strategy=s
LeaseSpec: preferredHolder=s

CustomResourceDefinition: apiVersion=s kind=s metadata=ObjectMeta spec=CustomResourceDefinitionSpec
CustomResourceDefinition: status=CustomResourceDefinitionStatus
CustomResourceDefinitionSpec: group=s names=CustomResourceDefinitionNames scope=s versions=[CustomResourceDefinitionVersion]
CustomResourceDefinitionSpec: conversion=CustomResourceConversion preserveUnknownFields=b
CustomResourceDefinitionNames: plural=s singular=s shortNames=[s] kind=s listKind=s categories=[s]
CustomResourceDefinitionVersion: name=s served=b storage=b deprecated=b deprecationWarning=s schema=CustomResourceValidation
CustomResourceDefinitionVersion: subresources=CustomResourceSubresources selectableFields=[SelectableField]
CustomResourceDefinitionVersion: additionalPrinterColumns=[CustomResourceColumnDefinition]
CustomResourceColumnDefinition: name=s type=s format=s description=s priority=i jsonPath=s
SelectableField: jsonPath=s
CustomResourceSubresources: status=o scale=CustomResourceSubresourceScale
CustomResourceSubresourceScale: specReplicasPath=s statusReplicasPath=s labelSelectorPath=s
CustomResourceConversion: strategy=s webhook=o
CustomResourceValidation: openAPIV3Schema=JSONSchemaProps
CustomResourceDefinitionStatus: conditions=[Condition] acceptedNames=CustomResourceDefinitionNames storedVersions=[s]
JSONSchemaProps: id=s $schema=s $ref=s description=s type=s format=s title=s default=a maximum=n exclusiveMaximum=b minimum=n
JSONSchemaProps: exclusiveMinimum=b maxLength=l minLength=l pattern=s maxItems=l minItems=l uniqueItems=b multipleOf=n enum=[a]
JSONSchemaProps: maxProperties=l minProperties=l required=[s] items=JSONSchemaProps allOf=[JSONSchemaProps]
JSONSchemaProps: oneOf=[JSONSchemaProps] anyOf=[JSONSchemaProps] not=JSONSchemaProps properties={JSONSchemaProps}
JSONSchemaProps: additionalProperties=b|JSONSchemaProps patternProperties={JSONSchemaProps} dependencies=o additionalItems=a
JSONSchemaProps: definitions={JSONSchemaProps} externalDocs=o example=a nullable=b x-kubernetes-preserve-unknown-fields=b
JSONSchemaProps: x-kubernetes-embedded-resource=b x-kubernetes-int-or-string=b x-kubernetes-list-map-keys=[s]
JSONSchemaProps: x-kubernetes-list-type=s x-kubernetes-map-type=s x-kubernetes-validations=[ValidationRule]
ValidationRule: rule=s message=s messageExpression=s reason=s fieldPath=s optionalOldSelf=b

PodTemplateSpec: metadata=ObjectMeta spec=PodSpec
UpdateStrategy: type=s rollingUpdate=RollingUpdate
RollingUpdate: maxUnavailable=x maxSurge=x
Deployment: apiVersion=s kind=s metadata=ObjectMeta spec=DeploymentSpec status=DeploymentStatus
DeploymentSpec: replicas=i selector=LabelSelector template=PodTemplateSpec strategy=UpdateStrategy minReadySeconds=i
DeploymentSpec: revisionHistoryLimit=i paused=b progressDeadlineSeconds=i
DeploymentStatus: observedGeneration=l replicas=i updatedReplicas=i readyReplicas=i availableReplicas=i
DeploymentStatus: unavailableReplicas=i terminatingReplicas=i conditions=[Condition] collisionCount=i
ReplicaSet: apiVersion=s kind=s metadata=ObjectMeta spec=ReplicaSetSpec status=ReplicaSetStatus
ReplicaSetSpec: replicas=i minReadySeconds=i selector=LabelSelector template=PodTemplateSpec
ReplicaSetStatus: replicas=i fullyLabeledReplicas=i readyReplicas=i availableReplicas=i terminatingReplicas=i
ReplicaSetStatus: observedGeneration=l conditions=[Condition]
DaemonSet: apiVersion=s kind=s metadata=ObjectMeta spec=DaemonSetSpec status=DaemonSetStatus
DaemonSetSpec: selector=LabelSelector template=PodTemplateSpec updateStrategy=UpdateStrategy minReadySeconds=i
DaemonSetSpec: revisionHistoryLimit=i
DaemonSetStatus: currentNumberScheduled=i numberMisscheduled=i desiredNumberScheduled=i numberReady=i observedGeneration=l
DaemonSetStatus: updatedNumberScheduled=i numberAvailable=i numberUnavailable=i collisionCount=i conditions=[Condition]
ControllerRevision: apiVersion=s kind=s metadata=ObjectMeta data=o revision=l
Scale: apiVersion=s kind=s metadata=ObjectMeta spec=ScaleSpec status=ScaleStatus
ScaleSpec: replicas=i
ScaleStatus: replicas=i selector=s

Binding: apiVersion=s kind=s metadata=ObjectMeta target=ObjectReference
Preconditions: uid=s resourceVersion=s
DeleteOptions: apiVersion=s kind=s gracePeriodSeconds=l preconditions=Preconditions orphanDependents=b propagationPolicy=s
DeleteOptions: dryRun=[s] ignoreStoreReadErrorWithClusterBreakingPotential=b
Eviction: apiVersion=s kind=s metadata=ObjectMeta deleteOptions=DeleteOptions
TokenRequest: apiVersion=s kind=s metadata=ObjectMeta spec=TokenRequestSpec status=TokenRequestStatus
TokenRequestSpec: audiences=[s] expirationSeconds=l boundObjectRef=ObjectReference
TokenRequestStatus: token=s expirationTimestamp=s
"""
