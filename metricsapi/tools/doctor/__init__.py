"""`metricsapi doctor`: what makes installations fail, checked in order, with evidence and fix."""
