"""The `residual` network and its training in PyTorch, for `bench` to compare with."""

import torch
from torch import nn
from torch.nn import functional


class Residual(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv_1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv_2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x):
        return functional.relu(x + self.conv_2(functional.relu(self.conv_1(x))))


class TorchVAE(nn.Module):
    """The network of `networks`, architecture "residual", weight for weight.

    Args:
        image_shape: `(height, width, channels)`.
        latent_dim: number of latent dimensions.
    """

    def __init__(self, image_shape, latent_dim):
        super().__init__()
        height, width, channels = image_shape
        self.small = height // 4, width // 4
        features = 128 * self.small[0] * self.small[1]
        self.encoder = nn.Sequential(
            nn.Conv2d(channels, 32, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 64, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(64, 128, 3, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(features, 256),
            nn.ReLU(),
        )
        self.z_mean, self.z_log_var = nn.Linear(256, latent_dim), nn.Linear(256, latent_dim)
        self.dense = nn.Linear(latent_dim, features)
        self.decoder = nn.Sequential(
            nn.ConvTranspose2d(128, 32, 3, stride=2, padding=1, output_padding=1),
            nn.ReLU(),
            Residual(32),
            nn.ConvTranspose2d(32, 16, 3, stride=2, padding=1, output_padding=1),
            nn.ReLU(),
            Residual(16),
            nn.Conv2d(16, channels, 3, padding=1),
        )

    def forward(self, x):
        hidden = self.encoder(x)
        z_mean, z_log_var = self.z_mean(hidden).float(), self.z_log_var(hidden).float()
        z = z_mean + torch.exp(0.5 * z_log_var) * torch.randn_like(z_mean)
        hidden = functional.relu(self.dense(z)).reshape(-1, 128, *self.small)
        return self.decoder(hidden).float(), z_mean, z_log_var


def training(images, latent_dim, learning_rate, batch_size, compiled):
    """Sets up passes over images.

    Args:
        images: uint8, `(num_images, height, width, channels)`.
        latent_dim: number of latent dimensions.
        learning_rate: of Adam.
        batch_size: images in a step.
        compiled: whether it is `torch.compile`d and computes in bfloat16 (autocast), or runs
            eagerly in float32.

    Returns:
        Function that trains on all images once and returns their number.
    """
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()
    vae = TorchVAE(images.shape[1:], latent_dim).to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(vae.parameters(), lr=learning_rate, fused=True)

    def loss(batch):
        with torch.autocast("cpu", torch.bfloat16, enabled=compiled):
            logits, z_mean, z_log_var = vae(batch)
        reconstruction = functional.binary_cross_entropy_with_logits(logits, batch, reduction="sum")
        kl = -0.5 * (1 + z_log_var - z_mean**2 - z_log_var.exp()).sum()
        return (reconstruction + kl) / len(batch)

    loss = torch.compile(loss) if compiled else loss

    def measure():
        order = torch.randperm(len(pixels))
        for start in range(0, len(pixels), batch_size):
            batch = pixels[order[start : start + batch_size]].float() / 255
            optimizer.zero_grad()
            loss(batch.to(memory_format=torch.channels_last)).backward()
            optimizer.step()
        return len(pixels)

    return measure
