#!/usr/bin/env bash
# The clusters and the network that the example graphs name. LocalStack runs it once it is ready.
set -euo pipefail
for cluster in dynamo-fargate dynamo-GPU; do
  awslocal ecs create-cluster --cluster-name "$cluster" >/dev/null
done
vpc=$(awslocal ec2 create-vpc --cidr-block 10.20.0.0/16 --query Vpc.VpcId --output text)
subnet=$(awslocal ec2 create-subnet --vpc-id "$vpc" --cidr-block 10.20.1.0/24 \
  --query Subnet.SubnetId --output text)
group=$(awslocal ec2 create-security-group --group-name dynamo --description dynamo \
  --vpc-id "$vpc" --query GroupId --output text)
echo "export SUBNET_ID=$subnet SECURITY_GROUP_ID=$group AWS_ID=000000000000"
