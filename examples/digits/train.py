#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Trains the digit classifier this folder ships, and writes it as ONNX.

Data: the 1,797 handwritten 8x8 digits bundled with scikit-learn (UCI, "Optical
Recognition of Handwritten Digits"). Net: two towers of convolutions side by
side (3x3 and 5x5 first layers), joined, then two dense layers. Trained with Adam in plain
numpy; deterministic by seed.

Needs: numpy, scikit-learn, onnx. Run: python3 train.py
Writes: digits.onnx, input.npy (64 test images), labels.txt, expected.npy
"""
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_digits

SEED = 7
TEST_SHARE = 0.25
EPOCHS = 40
BATCH = 64


def im2col(x, k):
    """[n, c, h, w] -> [n, h, w, c*k*k] with same padding."""
    p = k // 2
    padded = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (k, k), axis=(2, 3))
    n, c, h, w = x.shape
    return windows.transpose(0, 2, 3, 1, 4, 5).reshape(n, h, w, c * k * k)


class Conv:
    def __init__(self, rng, cin, cout, k):
        self.k = k
        self.w = rng.standard_normal((cout, cin, k, k)) * np.sqrt(2 / (cin * k * k))
        self.b = np.zeros(cout)

    def forward(self, x):
        self.x_shape, self.cols = x.shape, im2col(x, self.k)
        y = self.cols @ self.w.reshape(len(self.w), -1).T + self.b
        return y.transpose(0, 3, 1, 2)

    def backward(self, dy):
        d = dy.transpose(0, 2, 3, 1)
        flat = d.reshape(-1, d.shape[-1])
        self.dw = (flat.T @ self.cols.reshape(len(flat), -1)).reshape(self.w.shape)
        self.db = flat.sum(0)
        # The gradient of the input is a convolution with the flipped kernel.
        back = self.w[:, :, ::-1, ::-1].transpose(1, 0, 2, 3)
        return (im2col(dy, self.k) @ back.reshape(len(back), -1).T).transpose(0, 3, 1, 2)


class Dense:
    def __init__(self, rng, cin, cout):
        self.w = rng.standard_normal((cin, cout)) * np.sqrt(2 / cin)
        self.b = np.zeros(cout)

    def forward(self, x):
        self.x = x
        return x @ self.w + self.b

    def backward(self, dy):
        self.dw, self.db = self.x.T @ dy, dy.sum(0)
        return dy @ self.w.T


class Relu:
    def forward(self, x):
        self.mask = x > 0
        return x * self.mask

    def backward(self, dy):
        return dy * self.mask


class Pool:
    """2x2 maximum."""

    def forward(self, x):
        n, c, h, w = x.shape
        blocks = x.reshape(n, c, h // 2, 2, w // 2, 2).transpose(0, 1, 2, 4, 3, 5)
        self.shape, self.blocks = x.shape, blocks.reshape(n, c, h // 2, w // 2, 4)
        return self.blocks.max(-1)

    def backward(self, dy):
        n, c, h, w = self.shape
        mask = self.blocks == self.blocks.max(-1, keepdims=True)
        d = (mask * dy[..., None]).reshape(n, c, h // 2, w // 2, 2, 2)
        return d.transpose(0, 1, 2, 4, 3, 5).reshape(n, c, h, w)


class Net:
    def __init__(self, rng):
        self.towers = [
            [Conv(rng, 1, 16, k), Relu(), Conv(rng, 16, 32, 3), Relu(), Pool()] for k in (3, 5)
        ]
        self.head = [Dense(rng, 2 * 32 * 16, 64), Relu(), Dense(rng, 64, 10)]

    def forward(self, x):
        outs = []
        for tower in self.towers:
            y = x
            for layer in tower:
                y = layer.forward(y)
            outs.append(y)
        joined = np.concatenate(outs, 1)
        self.joined_shape = joined.shape
        y = joined.reshape(len(x), -1)
        for layer in self.head:
            y = layer.forward(y)
        return y

    def backward(self, d):
        for layer in reversed(self.head):
            d = layer.backward(d)
        d = d.reshape(self.joined_shape)
        for tower, part in zip(self.towers, np.split(d, 2, 1)):
            for layer in reversed(tower):
                part = layer.backward(part)

    def trained(self):
        layers = [layer for tower in self.towers for layer in tower] + self.head
        return [layer for layer in layers if hasattr(layer, "w")]


def softmax(z):
    e = np.exp(z - z.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def train(net, x, y, rng):
    moments = {}
    step = 0
    for epoch in range(EPOCHS):
        rate = 2e-3 * 0.5 * (1 + np.cos(np.pi * epoch / EPOCHS))
        order = rng.permutation(len(x))
        for start in range(0, len(x), BATCH):
            pick = order[start : start + BATCH]
            d = softmax(net.forward(x[pick]))
            d[np.arange(len(pick)), y[pick]] -= 1
            net.backward(d / len(pick))
            step += 1
            for layer in net.trained():
                for name in ("w", "b"):
                    g = getattr(layer, "d" + name)
                    m, v = moments.get((id(layer), name), (0, 0))
                    m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
                    moments[id(layer), name] = (m, v)
                    update = m / (1 - 0.9**step) / (np.sqrt(v / (1 - 0.999**step)) + 1e-8)
                    setattr(layer, name, getattr(layer, name) - rate * update)


def export(net, path):
    nodes, weights = [], []

    def constant(name, value):
        weights.append(numpy_helper.from_array(np.ascontiguousarray(value, np.float32), name))
        return name

    joined = []
    for tower, side in zip(net.towers, ("narrow", "wide")):
        current = "image"
        for k, layer in enumerate(tower):
            out = f"{side}_{k}"
            if isinstance(layer, Conv):
                w, b = constant(out + "_w", layer.w), constant(out + "_b", layer.b)
                nodes.append(helper.make_node("Conv", [current, w, b], [out], out,
                                              pads=[layer.k // 2] * 4))
            elif isinstance(layer, Relu):
                nodes.append(helper.make_node("Relu", [current], [out], out))
            else:
                nodes.append(helper.make_node("MaxPool", [current], [out], out,
                                              kernel_shape=[2, 2], strides=[2, 2]))
            current = out
        joined.append(current)
    nodes.append(helper.make_node("Concat", joined, ["joined"], "joined", axis=1))
    nodes.append(helper.make_node("Flatten", ["joined"], ["flat"], "flat"))
    dense1, _, dense2 = net.head
    nodes.append(helper.make_node("Gemm", ["flat", constant("dense1_w", dense1.w),
                                           constant("dense1_b", dense1.b)], ["dense1"], "dense1"))
    nodes.append(helper.make_node("Relu", ["dense1"], ["hidden"], "hidden"))
    nodes.append(helper.make_node("Gemm", ["hidden", constant("dense2_w", dense2.w),
                                           constant("dense2_b", dense2.b)], ["score"], "score"))
    nodes.append(helper.make_node("Softmax", ["score"], ["digit"], "digit", axis=1))
    graph = helper.make_graph(
        nodes, "digits",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 1, 8, 8])],
        [helper.make_tensor_value_info("digit", TensorProto.FLOAT, ["batch", 10])], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8,
                              producer_name="heteroengine-example")
    onnx.checker.check_model(model)
    onnx.save(model, path)


def main():
    rng = np.random.default_rng(SEED)
    digits = load_digits()
    x = (digits.images / 16.0)[:, None]
    order = rng.permutation(len(x))
    test_count = int(len(x) * TEST_SHARE)
    test, rest = order[:test_count], order[test_count:]
    net = Net(rng)
    train(net, x[rest], digits.target[rest], rng)
    right = net.forward(x[test]).argmax(1) == digits.target[test]
    print(f"accuracy on {test_count} held-out images: {right.mean() * 100:.1f} %")
    export(net, "digits.onnx")
    sample = test[:64]
    np.save("input.npy", x[sample].astype(np.float32))
    np.save("expected.npy", softmax(net.forward(x[sample])).astype(np.float32))
    np.savetxt("labels.txt", digits.target[sample], fmt="%d")


if __name__ == "__main__":
    main()
