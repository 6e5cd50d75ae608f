/** The Kubernetes driver on a real API server alone: what it must find true of the fake, it must find true here. */
import { kubernetesConformance } from '../conformance.ts'
import { RealKubernetes } from './servers.ts'

// Without controllers: the tests of the conformance play them.
kubernetesConformance('a real API server', async () => {
  const real = await RealKubernetes.open()
  return { access: real.access, stop: () => real.stop() }
})
