terraform {
  required_providers {
    aws = {
      source = "hashicorp/aws"
    }
  }
}

# Every KMS resource that the provider has and Strongroom serves.

variable "description" {
  type    = string
  default = "made by Terraform"
}

variable "rotation" {
  type    = number
  default = 365
}

variable "enabled" {
  type    = bool
  default = true
}

# Material in the configuration makes Terraform replace a key that is imported
# without it.
variable "material" {
  type    = string
  default = "0123456789abcdef0123456789abcdef"
}

provider "aws" {
  region = "us-east-1"
}

provider "aws" {
  alias  = "west"
  region = "eu-west-1"
}

data "aws_caller_identity" "me" {}

resource "aws_kms_key" "main" {
  description             = var.description
  enable_key_rotation     = true
  rotation_period_in_days = var.rotation
  deletion_window_in_days = 7
  is_enabled              = var.enabled
  tags = {
    team = "a"
    note = var.description
  }
}

resource "aws_kms_key" "signing" {
  customer_master_key_spec = "ECC_NIST_P256"
  key_usage                = "SIGN_VERIFY"
  deletion_window_in_days  = 7
}

resource "aws_kms_key" "mac" {
  customer_master_key_spec = "HMAC_256"
  key_usage                = "GENERATE_VERIFY_MAC"
  deletion_window_in_days  = 7
}

resource "aws_kms_alias" "named" {
  name          = "alias/terraform/named"
  target_key_id = aws_kms_key.main.key_id
}

resource "aws_kms_alias" "prefixed" {
  name_prefix   = "alias/terraform-"
  target_key_id = aws_kms_key.signing.arn
}

resource "aws_iam_role" "user" {
  name = "terraform-kms-user"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { AWS = data.aws_caller_identity.me.account_id }
    }]
  })
}

resource "aws_kms_grant" "use" {
  name              = "terraform"
  key_id            = aws_kms_key.main.key_id
  grantee_principal = aws_iam_role.user.arn
  operations        = ["Encrypt", "Decrypt", "GenerateDataKey"]
  constraints {
    encryption_context_equals = {
      department = "finance"
    }
  }
}

resource "aws_kms_external_key" "imported" {
  description             = "imported: ${var.description}"
  key_material_base64     = var.material == "" ? null : base64encode(var.material)
  valid_to                = timeadd(plantimestamp(), "720h")
  enabled                 = true
  deletion_window_in_days = 7
  lifecycle {
    ignore_changes = [valid_to]
  }
}

resource "aws_kms_key" "multi" {
  description             = "multi-Region"
  multi_region            = true
  deletion_window_in_days = 7
}

resource "aws_kms_replica_key" "west" {
  provider                = aws.west
  description             = "replica: ${var.description}"
  primary_key_arn         = aws_kms_key.multi.arn
  deletion_window_in_days = 7
}

resource "aws_kms_key_policy" "mac" {
  key_id = aws_kms_key.mac.id
  policy = jsonencode({
    Version = "2012-10-17"
    Id      = "terraform"
    Statement = [{
      Sid       = "Enable IAM policies"
      Effect    = "Allow"
      Action    = "kms:*"
      Principal = { AWS = data.aws_caller_identity.me.account_id }
      Resource  = "*"
      }, {
      Sid       = var.enabled ? "Use" : "UseAndDescribe"
      Effect    = "Allow"
      Action    = var.enabled ? ["kms:GenerateMac"] : ["kms:GenerateMac", "kms:DescribeKey"]
      Principal = { AWS = aws_iam_role.user.arn }
      Resource  = "*"
    }]
  })
}

resource "aws_kms_ciphertext" "secret" {
  key_id    = aws_kms_key.multi.key_id
  plaintext = "hunter2"
  context = {
    tool = "terraform"
  }
}

data "aws_kms_public_key" "signing" {
  key_id = aws_kms_key.signing.arn
}

data "aws_kms_key" "named" {
  key_id = aws_kms_alias.named.name
}

output "ciphertext" {
  value = aws_kms_ciphertext.secret.ciphertext_blob
}

# What each resource is imported by.
output "ids" {
  value = {
    "aws_kms_key.main"              = aws_kms_key.main.id
    "aws_kms_key.signing"           = aws_kms_key.signing.id
    "aws_kms_key.mac"               = aws_kms_key.mac.id
    "aws_kms_key.multi"             = aws_kms_key.multi.id
    "aws_kms_alias.named"           = aws_kms_alias.named.id
    "aws_kms_alias.prefixed"        = aws_kms_alias.prefixed.id
    "aws_kms_external_key.imported" = aws_kms_external_key.imported.id
    "aws_kms_replica_key.west"      = aws_kms_replica_key.west.id
    "aws_kms_grant.use"             = aws_kms_grant.use.id
    "aws_kms_key_policy.mac"        = aws_kms_key_policy.mac.id
    "aws_iam_role.user"             = aws_iam_role.user.id
  }
}
