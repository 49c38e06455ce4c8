"""Pre- and post-annotation functions of one's own, in Python, in place of AWS Lambda functions.

A function is a callable that takes AWS's event and returns AWS's response: a Lambda handler without its second
argument. It is registered as an entry point of the group ``trueground.functions`` in the package that brings it::

    [project.entry-points."trueground.functions"]
    prepare-invoice = "invoices.labeling:prepare"

or, while it is being written, in the environment: ``TRUEGROUND_FUNCTIONS=prepare-invoice=invoices.labeling:prepare``
(several are parted by commas; one named there hides an entry point of the same name). CreateLabelingJob then takes it
under the ARN ``arn:aws:lambda:<the service's region>:<the service's account>:function:prepare-invoice``.

A pre-annotation function is called once for each data object, in several threads::

    {"version": "2018-10-16", "labelingJobArn": "…", "dataObject": {"source-ref": "s3://…", …the whole manifest line}}

and returns what the template sees as ``task.input``; the second key may be left out, or be named
``humanAnnotationRequired``, or be the text ``"true"`` or ``"false"``. An object that needs nobody keeps its line::

    {"taskInput": {…}, "isHumanAnnotationRequired": true}

A post-annotation function is called when people are done, with the address of a file of all answers::

    {"version": "2018-10-16", "labelingJobArn": "…", "labelCategories": ["…"], "labelAttributeName": "…",
     "roleArn": "…", "outputConfig": "…/annotations", "payload": {"s3Uri": "…"}}

    [{"datasetObjectId": "0", "dataObject": {"s3Uri" or "content": "…"},
      "annotations": [{"workerId": "…", "annotationData": {"content": "the answer as JSON text"}}]}]

and returns the labels; an object that it leaves out fails, the others do not::

    [{"datasetObjectId": "0", "consolidatedAnnotation": {"content": {"<labelAttributeName>": …}}}]

With ``<labelAttributeName>-metadata`` in ``content``, that stands in the output manifest, otherwise metadata of the
type ``groundtruth/custom``. A function may be called again for the same objects after a crash. One that raises fails
the objects it was called for, with its message as their ``failure-reason``. One that takes longer than its time limit
fails them too, but cannot be ended from outside: it should have its own time limits for what it waits for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from trueground.entry_points import load_registered, registered

GROUP = "trueground.functions"
VARIABLE = "TRUEGROUND_FUNCTIONS"

AnnotationFunction = Callable[[dict[str, Any]], Any]


def registered_functions() -> Mapping[str, str]:
    """The functions of this installation: name to ``module:attribute``."""
    return registered(GROUP, VARIABLE)


def load_function(name: str) -> AnnotationFunction:
    """A registered function. Raises :class:`InputError` that says why there is none."""
    return load_registered(name, GROUP, VARIABLE, what="function")
