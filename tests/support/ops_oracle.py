#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks the shape rules against ONNX's own node tests.

usage: ops_oracle.py LIBRARY (FOLDER | generated | rows) [--only=TEXT] [--verbose]

LIBRARY is a shared library with he_op_infer() visible (gcc -shared src/ops/*.c and core). FOLDER holds one test per
folder (model.onnx, test_data_set_0/*.pb); "generated" takes the tests that the
installed onnx package makes itself; "rows" compares versions and counts of inputs and
outputs with the package's schemas. Needs numpy and onnx; not part of `make check`.

Every node of every model is inferred three times:
  full     inputs with their contents: type and shape must come out exactly,
           unless the row says that the shape is a matter of data
  shapes   shapes only: what is known must be right, the rest may be unknown
  symbols  sizes hidden behind symbols, one per size: likewise
"""
import collections
import ctypes as c
import os
import sys

import numpy as np
import onnx
from onnx import numpy_helper

MAX_RANK, NONE, RANK_UNKNOWN = 16, 0xFFFFFFFF, 0xFFFFFFFF
INT, FLOAT, STRING, TENSOR, GRAPH, INTS, FLOATS, STRINGS, OTHER = range(9)
DATA_SHAPE = {"NonZero", "Unique", "Compress", "NonMaxSuppression"}
BODIES = {"If", "Loop", "Scan"}  # their constants are not folded here
# The reference evaluator stacks these loops' scalars as [2, 1].
SKIP = {"test_range_float16_type_positive_delta_expanded",
        "test_range_bfloat16_type_positive_delta_expanded"}


class Shape(c.Structure):
    _fields_ = [("rank", c.c_uint32), ("dims", c.c_int64 * MAX_RANK)]


class Value(c.Structure):
    _fields_ = [("name", c.c_char_p), ("dtype", c.c_int), ("shape", Shape), ("data", c.c_void_p),
                ("data_bytes", c.c_size_t), ("has_known", c.c_bool),
                ("known", c.c_int64 * MAX_RANK), ("producer", c.c_uint32), ("is_input", c.c_bool),
                ("is_output", c.c_bool), ("is_opaque", c.c_bool)]


class Graph(c.Structure):
    pass


class Attr(c.Structure):
    _fields_ = [("name", c.c_char_p), ("kind", c.c_int), ("count", c.c_size_t), ("i", c.c_int64),
                ("f", c.c_float), ("s", c.c_char_p), ("s_bytes", c.c_size_t),
                ("ints", c.POINTER(c.c_int64)), ("floats", c.POINTER(c.c_float)),
                ("strings", c.POINTER(c.c_char_p)), ("tensor", c.POINTER(Value)),
                ("graph", c.POINTER(Graph))]


class Node(c.Structure):
    _fields_ = [("name", c.c_char_p), ("op", c.c_char_p), ("domain", c.c_char_p),
                ("opset", c.c_int), ("inputs", c.POINTER(c.c_uint32)),
                ("input_count", c.c_uint32), ("explicit", c.c_uint32),
                ("outputs", c.POINTER(c.c_uint32)), ("output_count", c.c_uint32),
                ("attrs", c.POINTER(Attr)), ("attr_count", c.c_uint32), ("task", c.c_uint32)]


Graph._fields_ = [("name", c.c_char_p), ("values", c.POINTER(Value)), ("value_count", c.c_uint32),
                  ("nodes", c.POINTER(Node)), ("node_count", c.c_uint32), ("tasks", c.c_void_p),
                  ("task_count", c.c_uint32), ("inputs", c.POINTER(c.c_uint32)),
                  ("input_count", c.c_uint32), ("capture_count", c.c_uint32),
                  ("outputs", c.POINTER(c.c_uint32)), ("output_count", c.c_uint32),
                  ("symbols", c.c_void_p), ("symbol_count", c.c_uint32), ("owner", c.c_void_p)]


class Work(c.Structure):
    _fields_ = [("work_class", c.c_int), ("flops", c.c_double), ("read", c.c_double),
                ("write", c.c_double), ("is_estimate", c.c_bool)]


class Op(c.Structure):
    _fields_ = [("name", c.c_char_p), ("domain", c.c_char_p), ("versions", c.POINTER(c.c_uint8)),
                ("infer", c.c_void_p), ("work", c.c_void_p), ("access", c.c_int),
                ("work_class", c.c_int), ("split", c.c_uint32), ("flags", c.c_uint32),
                ("min_inputs", c.c_uint8), ("max_inputs", c.c_uint8), ("max_outputs", c.c_uint8)]


keep = []  # what ctypes structures point to


def array_of(kind, items):
    made = (kind * max(len(items), 1))(*items)
    keep.append(made)
    return made


def unknown_value():
    value = Value()
    value.name = b""
    value.shape.rank = RANK_UNKNOWN
    value.producer = NONE
    return value


def set_shape(value, dims):
    value.shape.rank = len(dims)
    for k, dim in enumerate(dims):
        value.shape.dims[k] = dim


def onnx_dtype(array):
    if array.dtype == object or array.dtype.kind in "US":
        return 8
    return onnx.helper.np_dtype_to_tensor_dtype(array.dtype)


PACKED = {"int4": 2, "uint4": 2, "float4_e2m1fn": 2, "int2": 4, "uint2": 4}


def make_value(array, dtype=None, with_data=True):
    """A he_value for a numpy array."""
    value = unknown_value()
    value.dtype = dtype or onnx_dtype(array)
    set_shape(value, array.shape)
    if with_data and value.dtype != 8 and array.dtype.name not in PACKED:
        raw = np.ascontiguousarray(array).tobytes()
        buffer = c.create_string_buffer(raw, len(raw) + 1)
        keep.append(buffer)
        value.data = c.cast(buffer, c.c_void_p)
        value.data_bytes = len(raw)
    return value


class Checker:
    def __init__(self, library):
        self.lib = c.CDLL(library)
        self.lib.he_error_message.restype = c.c_char_p
        self.lib.he_op_find.restype = c.POINTER(Op)

    def has_row(self, op, domain=""):
        return bool(self.lib.he_op_find(domain.encode(), op.encode()))

    def since(self, op, opset, domain=""):
        row = self.lib.he_op_find(domain.encode(), op.encode())
        return self.lib.he_op_since(row, opset)

    def make_attr(self, proto, outer):
        attr = Attr()
        attr.name = proto.name.encode()
        kinds = onnx.AttributeProto
        if proto.type == kinds.INT:
            attr.kind, attr.i = INT, proto.i
        elif proto.type == kinds.FLOAT:
            attr.kind, attr.f = FLOAT, proto.f
        elif proto.type == kinds.STRING:
            attr.kind, attr.s, attr.s_bytes = STRING, proto.s, len(proto.s)
        elif proto.type == kinds.INTS:
            attr.kind, attr.count = INTS, len(proto.ints)
            attr.ints = array_of(c.c_int64, list(proto.ints))
        elif proto.type == kinds.FLOATS:
            attr.kind, attr.count = FLOATS, len(proto.floats)
            attr.floats = array_of(c.c_float, list(proto.floats))
        elif proto.type == kinds.STRINGS:
            attr.kind, attr.count = STRINGS, len(proto.strings)
            attr.strings = array_of(c.c_char_p, list(proto.strings))
        elif proto.type == kinds.TENSOR:
            attr.kind = TENSOR
            value = make_value(numpy_helper.to_array(proto.t), proto.t.data_type)
            keep.append(value)
            attr.tensor = c.pointer(value)
        elif proto.type == kinds.GRAPH:
            attr.kind = GRAPH
            attr.graph = c.pointer(self.make_graph(proto.g, outer))
        else:
            attr.kind = OTHER
        return attr

    def make_graph(self, proto, outer):
        """A body, its nodes inferred; outer holds what it captures and its inputs' types."""
        scope = dict(outer)
        names, values = {}, []

        def add(name, value):
            names[name] = len(values)
            values.append(value)
            scope[name] = value

        for k, info in enumerate(proto.input):
            given = outer.get("body input %d" % k)
            add(info.name, given if given is not None else unknown_value())
        for tensor in proto.initializer:
            add(tensor.name, make_value(numpy_helper.to_array(tensor), tensor.data_type))
        nodes = []
        for n in proto.node:
            for name in n.input:
                if name and name not in names:
                    add(name, scope.get(name, unknown_value()))
            outs = [unknown_value() for _ in n.output]
            node = self.make_node(n, scope, self.opset_of(n))
            self.infer(node, [scope[i] if i else None for i in n.input], outs)
            for name, value in zip(n.output, outs):
                value.producer = len(nodes)
                add(name, value)
            node.inputs = array_of(c.c_uint32, [names[i] if i else NONE for i in n.input])
            node.outputs = array_of(c.c_uint32, [names[i] if i else NONE for i in n.output])
            nodes.append(node)
        for info in proto.output:
            if info.name not in names:
                add(info.name, scope.get(info.name, unknown_value()))
        graph = Graph()
        keep.append(graph)
        graph.name = b""
        graph.values, graph.value_count = array_of(Value, values), len(values)
        graph.nodes, graph.node_count = array_of(Node, nodes), len(nodes)
        graph.inputs = array_of(c.c_uint32, [names[i.name] for i in proto.input])
        graph.input_count = len(proto.input)
        graph.outputs = array_of(c.c_uint32, [names[i.name] for i in proto.output])
        graph.output_count = len(proto.output)
        return graph

    def opset_of(self, n):
        return self.opsets.get(n.domain if n.domain != "ai.onnx" else "", 1)

    def make_node(self, n, scope, opset):
        node = Node()
        node.name, node.op, node.domain = n.name.encode(), n.op_type.encode(), n.domain.encode()
        node.opset = opset
        outer = dict(scope)
        if n.op_type in ("Loop", "Scan"):
            outer.update(self.body_inputs(n, scope, opset))
        attrs = [self.make_attr(a, outer) for a in n.attribute]
        node.attrs, node.attr_count = array_of(Attr, attrs), len(attrs)
        node.input_count = node.explicit = len(n.input)
        node.output_count = len(n.output)
        node.inputs = array_of(c.c_uint32, list(range(len(n.input))))
        node.outputs = array_of(c.c_uint32, list(range(len(n.output))))
        return node

    def body_inputs(self, n, scope, opset):
        """Types (not shapes, which may change) of what a loop hands to its body."""
        found = {}
        if n.op_type == "Loop":
            for k, dtype in ((0, 7), (1, 9)):
                value = unknown_value()
                value.dtype = dtype
                set_shape(value, [])
                found["body input %d" % k] = value
            for k, name in enumerate(n.input[2:]):
                value = unknown_value()
                if name in scope:
                    value.dtype = scope[name].dtype
                found["body input %d" % (k + 2)] = value
            return found
        scans = [a.i for a in n.attribute if a.name == "num_scan_inputs"][0]
        skip = 1 if opset < 9 else 0
        for k, name in enumerate(n.input[skip:]):
            value = unknown_value()
            source = scope.get(name)
            if source is not None:
                value.dtype = source.dtype
                dims = list(source.shape.dims[:source.shape.rank])[skip:]
                if k >= len(n.input) - skip - scans:
                    dims = dims[1:]  # the tests scan along the first axis
                set_shape(value, dims)
            found["body input %d" % k] = value
        return found

    def infer(self, node, ins, outs):
        in_array = (c.POINTER(Value) * max(len(ins), 1))(*[c.pointer(v) if v is not None else None
                                                          for v in ins])
        out_array = (c.POINTER(Value) * max(len(outs), 1))(*[c.pointer(v) if v is not None else None
                                                            for v in outs])
        status = self.lib.he_op_infer(c.byref(node), in_array, out_array)
        if status != 0:
            return self.lib.he_error_message().decode(errors="replace")
        work = Work()
        self.lib.he_op_work(c.byref(node), in_array, out_array, c.byref(work))
        if not (work.flops >= 0 and work.read >= 0 and work.write >= 0):
            return "work is %g flops, %g + %g bytes" % (work.flops, work.read, work.write)
        return ""


def hide(value, array, how):
    """The same value knowing less."""
    less = unknown_value()
    less.dtype = value.dtype
    if how == "symbols":
        # One symbol per size; sizes 0 and 1 stay, as a symbol may be neither for certain.
        set_shape(less, [-100 - d if d > 1 else d for d in array.shape])
    else:
        set_shape(less, array.shape)
    return less


def compare(value, array, exact):
    # Debian's files keep expected bfloat16 as uint16.
    if (value.dtype != 0 and value.dtype != onnx_dtype(array) and
            (value.dtype, onnx_dtype(array)) != (16, 4)):
        return "type %d, expected %d" % (value.dtype, onnx_dtype(array))
    if value.dtype == 0 and exact:
        return "type not known"
    if value.shape.rank == RANK_UNKNOWN:
        return "rank not known" if exact else ""
    dims = list(value.shape.dims[:value.shape.rank])
    wrong = len(dims) != len(array.shape)
    for dim, size in zip(dims, array.shape):
        if dim < -1:
            wrong |= -100 - dim != size
        elif dim == -1:
            wrong |= exact
        else:
            wrong |= dim != size
    if wrong:
        return "shape %s, expected %s" % (dims, list(array.shape))
    if value.has_known:
        for k, item in enumerate(np.asarray(array).reshape(-1)):
            code = value.known[k]
            if code != -1 and (code if code >= 0 else -100 - code) != item:
                return "known contents %s, expected %s" % (
                    list(value.known[:array.size]), array.reshape(-1).tolist())
    return ""


def tensors_of(model, feeds, expected):
    """Every tensor of the run by name, as far as the reference evaluator gets."""
    known = dict(feeds)
    for tensor in model.graph.initializer:
        known.setdefault(tensor.name, numpy_helper.to_array(tensor))
    if len(model.graph.node) > 1:
        try:
            from onnx.reference import ReferenceEvaluator
            found = ReferenceEvaluator(model).run(None, feeds, intermediate=True)
            for name, array in found.items():
                if isinstance(array, (np.ndarray, np.generic)):
                    known[name] = np.asarray(array)
        except Exception:
            pass
    known.update(expected)
    return known


def load_folder(folder):
    for name in sorted(os.listdir(folder)):
        path = os.path.join(folder, name, "model.onnx")
        if not os.path.exists(path):
            continue
        model = onnx.load(path)
        feeds, outs = {}, {}
        data = os.path.join(folder, name, "test_data_set_0")
        for infos, prefix, into in ((model.graph.input, "input", feeds),
                                    (model.graph.output, "output", outs)):
            for k, info in enumerate(infos):
                if not info.type.HasField("tensor_type"):
                    continue
                try:
                    tensor = onnx.TensorProto()
                    with open(os.path.join(data, "%s_%d.pb" % (prefix, k)), "rb") as f:
                        tensor.ParseFromString(f.read())
                    into[info.name] = numpy_helper.to_array(tensor)
                except OSError:
                    pass
        yield name, model, feeds, outs


def load_generated():
    from onnx.backend.test.case.node import collect_testcases
    for case in collect_testcases(None):
        model = case.model
        ins, outs = case.data_sets[0]
        as_arrays = []
        for infos, given in ((model.graph.input, ins), (model.graph.output, outs)):
            as_arrays.append({i.name: np.asarray(numpy_helper.to_array(v)
                                                 if isinstance(v, onnx.TensorProto) else v)
                              for i, v in zip(infos, given)
                              if i.type.HasField("tensor_type")})
        yield case.name, model, as_arrays[0], as_arrays[1]


def check_rows(lib):
    lib.he_op_at.restype, lib.he_op_at.argtypes = c.POINTER(Op), [c.c_size_t]
    lib.he_op_count.restype = c.c_size_t
    schemas, wrong, seen = collections.defaultdict(list), 0, set()
    for schema in onnx.defs.get_all_schemas_with_history():
        schemas[schema.domain, schema.name].append(schema)
    for k in range(lib.he_op_count()):
        row = lib.he_op_at(k)[0]
        key = row.domain.decode(), row.name.decode()
        versions = []
        while row.versions[len(versions)]:
            versions.append(row.versions[len(versions)])
        seen.add(key)
        # Loop and Scan may omit what comes first.
        least = 0 if key[1] in ("Loop", "Scan") else min(s.min_input for s in schemas[key])
        expected = (sorted(s.since_version for s in schemas[key]), least,
                    max(min(s.max_input, 255) for s in schemas[key]),
                    max(min(s.max_output, 255) for s in schemas[key]))
        found = (versions, row.min_inputs, row.max_inputs, row.max_outputs)
        if found != expected:
            print("%s: %s, expected %s" % (key[1], found, expected))
            wrong += 1
    left = sorted(name for domain, name in schemas if domain == "" and (domain, name) not in seen)
    print("rows: %d, wrong: %d, without a row: %s" % (len(seen), wrong, " ".join(left)))
    return 1 if wrong else 0


def main():
    args = [a for a in sys.argv[1:] if not a.startswith("--")]
    verbose = "--verbose" in sys.argv
    only = [a[7:] for a in sys.argv if a.startswith("--only=")]
    checker = Checker(args[0])
    if args[1] == "rows":
        return check_rows(checker.lib)
    counts, missing, failures = collections.Counter(), collections.Counter(), []
    for name, model, feeds, expected in (load_generated() if args[1] == "generated"
                                         else load_folder(args[1])):
        if name in SKIP or (only and only[0] not in name):
            continue
        del keep[:]
        counts["models"] += 1
        checker.opsets = {o.domain if o.domain != "ai.onnx" else "": o.version
                          for o in model.opset_import}
        known = tensors_of(model, feeds, expected)
        functions = {f.name for f in model.functions}
        verdict, checked = "pass", 0
        for n in model.graph.node:
            if not checker.has_row(n.op_type, n.domain):
                if n.op_type not in functions:
                    missing[n.op_type] += 1
                verdict = "no row" if verdict == "pass" else verdict
                continue
            if any(i and i not in known for i in n.input):
                counts["nodes not reached"] += 1
                continue
            for how in ("full", "shapes", "symbols"):
                full = {i: make_value(known[i]) for i in n.input if i}
                scope = {k: make_value(v) for k, v in known.items()}
                if how != "full":
                    full = {i: hide(v, known[i], how) for i, v in full.items()}
                    scope = {i: hide(v, known[i], how) for i, v in scope.items()}
                scope.update(full)
                node = checker.make_node(n, scope, checker.opset_of(n))
                outs = [unknown_value() if o else None for o in n.output]
                error = checker.infer(node, [full[i] if i else None for i in n.input], outs)
                if not error:
                    exact = how == "full" and n.op_type not in DATA_SHAPE | BODIES
                    for k, o in enumerate(n.output):
                        if o in known:
                            checked += 1
                            problem = compare(outs[k], known[o], exact)
                            error = error or (problem and "output %d: %s" % (k, problem))
                if error:
                    failures.append("%s: %s-%d (%s): %s" % (name, n.op_type,
                                                             checker.opset_of(n), how, error))
                    verdict = "FAIL"
                counts["inferences"] += 1
        counts[verdict] += 1
        if verdict == "pass" and checked == 0:
            counts["pass"] -= 1
            counts["nothing to check"] += 1
            if verbose:
                print("nothing to check:", name)
    for line in failures:
        print(line)
    print(", ".join("%s: %d" % item for item in sorted(counts.items())))
    if missing:
        print("no row:", ", ".join("%s (%d)" % item for item in sorted(missing.items())))
    return 1 if failures else 0


sys.exit(main())
