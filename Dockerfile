# kaogan with the studio and the exporters, on the CPU:
#   docker build -t kaogan .
#   docker run --rm -v "$PWD:/data" kaogan train demo
#   docker run --rm -p 7860:7860 -v "$PWD:/data" kaogan studio --host 0.0.0.0
# With an NVIDIA card: --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu128, and docker run --gpus all.
FROM python:3.12-slim
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu

WORKDIR /src
COPY pyproject.toml LICENSE ./
COPY docs/package.md docs/
COPY kaogan kaogan
COPY tools/torch_requirement.py tools/
# The versions are bounded in pyproject.toml.
# hadolint ignore=DL3013
RUN pip install --no-cache-dir --index-url "$TORCH_INDEX" "$(python tools/torch_requirement.py)" \
    && pip install --no-cache-dir '.[studio,export]' \
    && useradd --create-home --uid 1000 kaogan

USER 1000
ENV KAOGAN_CACHE=/home/kaogan/.cache/kaogan
WORKDIR /data
EXPOSE 7860
ENTRYPOINT ["kaogan"]
CMD ["--help"]
